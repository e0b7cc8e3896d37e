#!/usr/bin/env python3
"""Writes the templates' references: what jinja2 renders, set up as `transformers` sets it up.

    pip install jinja2==3.1.6
    python tools/reference/make_template_reference.py

Into tests/data/text/template_cases.json:
    "chats":    [{"template": file, "request": {messages, tools, ...}, "prompt": text}]
                the demo model's template and two in the manner of the published ones
                (glm46_style.jinja, glm47_style.jinja, written for this project)
    "snippets": [{"source", "variables", "output"}], or "error": true where jinja2 refuses
Requests and snippets are below; random chats come from a fixed seed.
"""
import itertools
import json
import pathlib
import random

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEMPLATES = {
    "demo": ROOT / "models/glm4-moe-demo/chat_template.jinja",
    "glm46_style": ROOT / "tests/data/text/glm46_style.jinja",
    "glm47_style": ROOT / "tests/data/text/glm47_style.jinja",
}


class Generation(jinja2.ext.Extension):
    """{% generation %} marks what the assistant wrote; it renders its body in a scope of its own."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_render"), [], [], body).set_lineno(line)

    def _render(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


ENV = ImmutableSandboxedEnvironment(
    trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
ENV.filters["tojson"] = tojson
ENV.globals["raise_exception"] = raise_exception

SPECIAL = {"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}

WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "Weather of a city — °C & <b>%</b>",
    "parameters": {"type": "object", "properties": {
        "city": {"type": "string", "description": "e.g. 'Zürich' or \"東京\""},
        "days": {"type": "integer", "minimum": 1, "maximum": 14.5}}, "required": ["city"]}}}
SEARCH = {"type": "function", "function": {"name": "search", "parameters": {"type": "object", "properties": {}}}}
FLAT = {"name": "flat", "description": None, "parameters": {"nested": [1, 2.0, True, None, 1e-7, 1e22, -0.0, "é\u2028\x7f"]}}


def call(name, arguments, flat=False):
    body = {"name": name, "arguments": arguments}
    return body if flat else {"id": "c1", "type": "function", "function": body}


def fixed_chats():
    user = {"role": "user", "content": "What is a violin?"}
    yield [user], {}
    yield [{"role": "system", "content": "Be brief.\n"}, user], {}
    yield [user, {"role": "assistant", "content": "A bowed string instrument."}, {"role": "user", "content": "And a viola?"}], {}
    yield [user, {"role": "assistant", "content": "\n\n It sings. \n", "reasoning_content": " wood, strings\n"}], {}
    yield [user, {"role": "assistant", "content": "<think>hm\nhm</think>\n\nYes."}, user], {}
    yield [user, {"role": "assistant", "content": "<think>hm\nhm</think>\n\nYes."}], {"add_generation_prompt": False}
    yield [{"role": "user", "content": "Hi/nothink"}], {"enable_thinking": False}
    for thinking in (True, False):
        yield [user], {"enable_thinking": thinking}
        yield [user], {"enable_thinking": thinking, "add_generation_prompt": False}
    yield [{"role": "user", "content": "Weather in Zürich and 東京? 🌦️"}], {"tools": [WEATHER]}
    yield [user], {"tools": [WEATHER, SEARCH]}
    yield [user], {"tools": []}
    turn = [user,
            {"role": "assistant", "content": None, "reasoning_content": "look it up",
             "tool_calls": [call("get_weather", {"city": "Zürich \"ZH\"", "days": 3}), call("search", {})]},
            {"role": "tool", "content": "{\"temp\": 21.5}"},
            {"role": "tool", "content": "no <result> & nothing"},
            {"role": "assistant", "content": "It is 21.5 °C.", "reasoning_content": "done"}]
    for end in (2, 3, 4, 5):
        yield turn[:end], {"tools": [WEATHER, SEARCH]}
        yield turn[:end] + [{"role": "user", "content": "Thanks"}], {"tools": [WEATHER]}
        yield turn[:end], {"enable_thinking": False}
    yield [user, {"role": "assistant", "content": "", "tool_calls": [call("f", {
        "list": [1, 2.5, "x", None, True], "object": {"b": 1, "a": {"ß": "é"}}, "text": "line\nline ", "none": None,
        "flag": False, "float": 1.0, "big": 1e300, "small": 1.5e-9, "empty": ""})]}], {}


def random_chat(rng):
    words = ["why", "Zug", "木", "🙂", "\n", "  ", "<think>", "</think>", "<|user|>", "/nothink", "{{ x }}", "{% y %}", "'", '"', "\\n", "é", "\t", "<tool_call>"]

    def text():
        return "".join(rng.choice(words) + rng.choice(["", " "]) for _ in range(rng.randrange(0, 8)))

    messages = []
    if rng.random() < 0.4:
        messages.append({"role": "system", "content": text()})
    for _ in range(rng.randrange(1, 4)):
        messages.append({"role": "user", "content": text()})
        for _ in range(rng.randrange(0, 3)):
            answer = {"role": "assistant", "content": text()}
            if rng.random() < 0.5:
                answer["reasoning_content"] = text()
            if rng.random() < 0.4:
                answer["tool_calls"] = [call(rng.choice(["a", "b_c"]), {text() or "k": rng.choice([text(), 1, 2.25, [text()], {"k": text()}, None, True])}) for _ in range(rng.randrange(1, 3))]
            messages.append(answer)
            if "tool_calls" in answer:
                messages += [{"role": "tool", "content": text()} for _ in answer["tool_calls"]]
    options = {}
    if rng.random() < 0.4:
        options["enable_thinking"] = rng.random() < 0.5
    if rng.random() < 0.3:
        options["add_generation_prompt"] = False
    if rng.random() < 0.3:
        options["tools"] = [WEATHER]
    return messages, options


def list_content(messages):
    """The same chat with contents as lists of parts."""
    out = []
    for m in messages:
        m = dict(m)
        if m["role"] == "tool":
            m["content"] = [{"output": m["content"]}, {"output": {"n": 1}}]
        elif isinstance(m["content"], str):
            m["content"] = [{"type": "text", "text": m["content"]}, {"type": "image"}, "tail"]
        out.append(m)
    return out


def render_chat(template, messages, options):
    options = dict(options)
    variables = {"messages": messages, "tools": options.pop("tools", None), "documents": None,
                 "add_generation_prompt": options.pop("add_generation_prompt", True), **SPECIAL}
    variables.update(options.pop("template_kwargs", {}))
    variables.update(options)
    return ENV.from_string(template).render(variables)


def chats():
    rng = random.Random(7)
    cases = list(fixed_chats()) + [random_chat(rng) for _ in range(70)]
    for name, path in TEMPLATES.items():
        source = path.read_text()
        these = list(cases)
        if name != "demo":
            these += [(list_content(m), o) for m, o in cases[:25]]
            these += [(m, {**o, "template_kwargs": {"clear_thinking": False}}) for m, o in cases[:20]]
            flat = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y", "tool_calls": [call("f", {"a": 1}, flat=True)]}]
            these.append((flat, {"tools": [FLAT] if name == "glm46_style" else [WEATHER]}))
        for messages, options in these:
            yield {"template": name, "request": {"messages": messages, **options},
                   "prompt": render_chat(source, messages, options)}


VARIABLES = {
    "s": "hello World", "e": "", "u": "Straße ŉ ǆ İ ΣΑΣ ﬁ", "sp": " \t\n\u00a0x y\u3000\n", "m": "a,b,,c", "lines": "one\ntwo\r\nthree\n\nfour",
    "i": 7, "n": -3, "f": 2.5, "g": -0.5, "t": True, "o": None, "big": 9007199254740993,
    "l": [3, 1, 2], "ls": ["b", "A", "c", "a", "B"], "mixed": [1, "1", 1.0, True, None, [1], {"a": 1}], "el": [],
    "d": {"b": 1, "a": 2, "C": 3}, "ed": {}, "deep": {"x": {"y": [{"z": "found"}]}, "items": "key named items", "k-1": 1},
    "users": [{"name": "Ann", "age": 31, "tags": ["x"]}, {"name": "bob", "age": 25, "admin": True}, {"name": "Cid", "age": 31, "admin": False}],
    "quote": "it's \"q\" \\ \n\t\x07é\u200b",
}


def snippets():
    # Output of expressions, types printed the way Python does.
    expressions = """
s|e|s ~ i|s + e|i + f|i - n|i * n|i / 2|i // 2|n // 2|i % 4|n % 4|f % 2|g % 2|i ** 2|2 ** -1|2 ** 0.5|2 ** 3 ** 2|-2 ** 2|-i|+i|--i
1 / 3|1e3|1.0|1.50|1e16|1e15|123456789012345678|0.0001|0.00001|1e-5|1.5e300|100000000000000000000.0|0.1 + 0.2|1_000|3.14e2|1e5 // 3
t|o|True|False|None|true and 1|0 or 'x'|'' and 1|not 0|not not l|i and s|o or e or l|t + 1|t * 3|true == 1|1 == 1.0|'1' == 1|l == [3, 1, 2]|(1, 2) == [1, 2]|o == false|none == undefined_name
i > 3|i >= 7|i < 7.0|1 < i < 10|1 < i > 10|1 < 2 == 2|'a' < 'b'|'Z' < 'a'|[1, 2] < [1, 3]|[1] < [1, 0]|1 != 2|s != s|'é' > 'z'
'hello' in s|'x' not in s|3 in l|'3' in l|'a' in d|1 in d|'z' not in d|none in mixed|[1] in mixed|'' in s|x in []|1 in (1,)
l|ls|mixed|d|ed|el|()|(1,)|(1, 'a')|[none, true, 1.0, 'x\\'y']|{'a': [1, {'b': none}]}|{1: 2, none: 3, true: 4, 1.5: 5}|quote|[quote]|["it's"]|['"']|['a\\nb']|[1, 2,]|{'a': 1,}
l[0]|l[-1]|l[5]|l['x']|s[0]|s[-1]|s[99]|u[4]|l[1:]|l[:-1]|l[::-1]|l[::2]|l[-2:]|l[5:]|l[2:0:-1]|l[1:1]|s[1:4]|s[::-1]|s[-5:]|u[4:6]|u[::-1]|s[:100]|s[2:-2]|(1,2,3)[1:]|l[-100:100]|l[::-2]|s[10:2:-3]
d.a|d['a']|d.zzz|d['zzz']|deep.x.y[0].z|deep['x']['y'][0]['z']|deep.items|deep['items']|deep['k-1']|d.b + 1|users[0].name|users.0.name|users[0]['tags'][0]|d.get('a')|d.get('q')|d.get('q', 5)|s.nope|i.nope|o.nope|undefined_name|l.nope
d.items()|list|d.keys()|list|d.values()|list|d|list|d.items()|length
s|upper|s|lower|s|title|s|capitalize|u|upper|u|lower|u|title|u|capitalize|s.upper()|s.lower()|s.title()|s.capitalize()|u.upper()|u.title()|u.capitalize()|"they're bill's FRIENDS"|title|"they're bill's".title()|'foo-bar (baz) [q] {w} <e>'|title|'x1y2 z'.title()|'x1y2 Z'|title
sp|trim|sp.strip()|sp.lstrip()|sp.rstrip()|'xxaxx'.strip('x')|'xyaxy'.lstrip('yx')|'abc'.rstrip('cb')|'--a--'|trim('-')|e|trim|' a '|trim|5|trim
m.split(',')|m.split(',', 1)|m.split(',', 0)|m.rsplit(',', 1)|' a  b c '.split()|' a  b c '.split(none, 1)|'a b c d'.rsplit(none, 2)|''.split()|''.split(',')|'aXXbXXc'.split('XX')|m.split(',')[-1]|'a  b'.split(' ')|lines.splitlines()|'x'.splitlines()|''.splitlines()
s.startswith('he')|s.startswith('He')|s.endswith('ld')|s.startswith(('x', 'h'))|s.endswith('')|s.find('o')|s.find('zz')|s.rfind('o')|s.index('W')|u.find('ŉ')|s.count('l')|s.count('')|'aaaa'.count('aa')
s.replace('l', 'L')|s.replace('l', 'L', 1)|s|replace('o', '0')|s|replace('o', '0', 1)|'abc'.replace('', '-')|'abc'.replace('', '-', 2)|''.replace('', 'x')|'é'.replace('', '.')|i|replace('7', '8')
', '.join(ls)|''.join([])|'-'.join('abc')|ls|join|ls|join(', ')|l|join('-')|users|join(', ', attribute='name')|el|join('x')|s|join('.')|mixed|join('|')
'42'.isdigit()|''.isdigit()|'ab'.isalpha()|'a1'.isalnum()|' '.isspace()|'AB'.isupper()|'aB'.islower()|'7'.zfill(3)|'-7'.zfill(4)|'abc'.partition('b')|'abc'.partition('x')|'abcbd'.rpartition('b')|'prefix-x'.removeprefix('prefix-')|'x.txt'.removesuffix('.txt')
l|length|s|length|u|length|d|count|e|length|undefined_name|length|l|first|l|last|s|first|s|last|d|first|d|last|el|first|e|last|u|first|range(3)|last
l|sort|l|sort(reverse=true)|ls|sort|ls|sort(case_sensitive=true)|ls|sort(true)|users|sort(attribute='age')|map(attribute='name')|list|users|sort(attribute='age', reverse=true)|map(attribute='name')|list|d|sort|users|sort(attribute='age,name')|length|[2.5, 1, true]|sort
l|reverse|list|s|reverse|ls|unique|list|ls|unique(case_sensitive=true)|list|[1, 1.0, true, 2]|unique|list|users|unique(attribute='age')|map(attribute='name')|list
l|min|l|max|ls|min|ls|max|l|sum|users|sum(attribute='age')|users|max(attribute='age')|el|min|el|sum|l|sum(start=10)|users|min(attribute='name')
d|dictsort|d|dictsort(true)|d|dictsort(by='value')|d|dictsort(reverse=true)|d|dictsort(false, 'value', true)|ed|dictsort|d|items|list|ed|items|list|undefined_name|items|list
users|map(attribute='name')|list|users|map(attribute='nope', default='-')|list|users|map(attribute='tags.0')|list|ls|map('upper')|list|l|map('string')|list|ls|map('replace', 'a', 'z')|list|ls|map('default', 'x')|join|users|map('length')|list
l|select|list|[0, 1, '', 'a', none]|select|list|[0, 1, '', 'a', none]|reject|list|l|select('odd')|list|l|reject('odd')|list|l|select('gt', 1)|list|l|select('in', [1, 2])|list|users|selectattr('admin')|map(attribute='name')|list|users|selectattr('age', 'equalto', 31)|map(attribute='name')|list|users|rejectattr('admin')|map(attribute='name')|list|users|selectattr('admin', 'defined')|list|length|users|rejectattr('age', 'lt', 30)|list|length|users|selectattr('nope')|list
'yes' if l|select('gt', 100) else 'no'|'yes' if (l|select('gt', 100)|list) else 'no'|'yes' if d.items() else 'no'|'yes' if ed.items() else 'no'|'yes' if ed.keys() else 'no'|'yes' if range(0) else 'no'
undefined_name|default|undefined_name|default('x')|undefined_name|d('x')|o|default('x')|o|default('x', true)|e|default('x', boolean=true)|0|default(5)|d.zzz|default('q')|s|default('x')
i|string|f|string|o|string|l|string|e|string|'12'|int|'12.7'|int|'x'|int|'x'|int(5)|12.9|int|-12.9|int|'ff'|int(base=16)|'0x1f'|int(0, 16)|true|int|o|int|l|int(-1)|'1.5'|float|'x'|float|'x'|float(2.0)|3|float|'1e3'|float|' 7 '|int|'nan'|float
f|round|2.675|round(2)|2.5|round|3.5|round|-2.5|round|7|round|7.123|round(1)|7.123|round(2, 'ceil')|7.123|round(1, 'floor')|7.0|round|1234.5|round(-2)|0.5|round|1e20|round(2)|n|abs|g|abs|f|round|int
lines|indent|lines|indent(2)|lines|indent(2, true)|lines|indent(2, false, true)|lines|indent('> ')|lines|indent(first=true, width=1)|e|indent|e|indent(2, true)|'a\\n'|indent
'<a href="x">\\'&'|escape|'<b>'|e|'<b>'|safe|s|wordcount
d|tojson|l|tojson|s|tojson|u|tojson|quote|tojson|o|tojson|t|tojson|f|tojson|i|tojson|mixed|tojson|ed|tojson|el|tojson|deep|tojson|(1, 2)|tojson|{1: none, none: 1, true: false, 1.5: 'x'}|tojson|1e22|tojson|users|tojson
u|tojson(ensure_ascii=true)|'🙂\\x7f'|tojson(true)|d|tojson(indent=2)|deep|tojson(indent=1)|el|tojson(indent=2)|ed|tojson(indent=2)|d|tojson(sort_keys=true)|d|tojson(separators=(',', ':'))|d|tojson(indent=4, sort_keys=true)|d|tojson(indent='\\t')|d|tojson(indent=0)|[[], {}]|tojson(indent=2)
"""
    lines = [line for line in expressions.strip().split("\n")]
    for line in lines:
        for expression in cut(line):
            yield "{{ " + expression + " }}", {}
    tests = ["defined", "undefined", "none", "string", "number", "integer", "float", "boolean", "mapping", "sequence", "iterable", "true", "false", "callable", "odd", "even", "upper", "lower", "in l", "eq 7", "ne(7)", "sameas none", "divisibleby 7", "gt 1", "le 7", "not defined", "not string", "equalto('x')", "filter", "test"]
    values = ["s", "e", "i", "f", "t", "o", "l", "d", "(1,)", "undefined_name", "range(2)", "d.items()", "dict", "l|map('string')", "'AB'", "'upper'"]
    for value, test in itertools.product(values, tests):
        yield "{{ " + value + " is " + test + " }}", {}
    for block in BLOCKS:
        yield block, {}


def cut(line):
    """Splits a line of expressions at | where what comes next is not a filter of what came before."""
    parts, current = [], ""
    filters = set(ENV.filters)
    pieces, depth, quote, piece = [], 0, "", ""
    for ch in line:
        if quote:
            quote = "" if ch == quote and not piece.endswith("\\") else quote
        elif ch in "'\"":
            quote = ch
        elif ch in "([{":
            depth += 1
        elif ch in ")]}":
            depth -= 1
        elif ch == "|" and depth == 0:
            pieces.append(piece)
            piece = ""
            continue
        piece += ch
    pieces.append(piece)
    for piece in pieces:
        name = piece.split("(")[0].split(" ")[0]
        if current and name in filters and name not in ("e", "d"):
            current += "|" + piece
        elif current and name in ("e", "d") and current.startswith(("'<", "undefined_name")) and len(piece) > 0 and "." not in piece.split("(")[0]:
            current += "|" + piece
        else:
            if current:
                parts.append(current)
            current = piece
    parts.append(current)
    return parts


BLOCKS = [
    # white space
    "a\n{% if true %}\n  b\n{% endif %}\nc", "  {% if true %}x{% endif %}  \ny", "a {%- if true %} b {%- endif %} c", "a {% if true -%} b {% endif -%} c",
    "  {{ 1 }}\n  {{- 2 }}\n{{ 3 -}}\n  x", "a\n  {#- c -#}\n  b", "a\n  {# c #}\n  b", "{# c #}\n\nb", "x{# c -#}  \n y", "   {%+ if true %}x{%+ endif %}", "a\n   {%+ if true +%}\nx{% endif %}\n",
    "a\n\t {% set x = 1 %}  \n  {{ x }}", "line\r\nnext\r{{ 1 }}\n", "end\n", "end\n\n", "{{ 1 }}\n", "{% if 1 %}a{% endif %}\n", "{% if 1 %}\n{% endif %}\n\n", "{% raw %}{{ x }} {% y %}{% endraw %}z",
    "{%- raw -%}  {{ x }}  {%- endraw -%}  z", "a\n  {% raw %}\n {{ x }}\n  {% endraw %}\nb", "{% raw %}{% if %}{# #}{% endraw %}", "a\u00a0{%- if 1 %}\u2003b{% endif -%}\u3000c", "x\n{%- for i in l %}\n  {{ i }}\n{%- endfor %}\ny",
    "x{% for i in l -%}\n  {{ i }}\n{% endfor -%}\ny", "{{ '{{' }}{{ '%}' }}{{ \"}}\" }}", "{ % x } {", "{{ {'a': {'b': 1}}.a.b }}", "a{#+ x +#}\nb", " {#- x #} y", "{{- 'a' -}}   {{- 'b' -}}",
    "text {{ s }}\n    {% if true %}\n    indented\n    {% endif %}\nend", "{{ 1 }}{% set a = 2 %}\n{{ a }}",
    # for
    "{% for i in l %}{{ loop.index }}/{{ loop.length }}:{{ i }}{% if not loop.last %}, {% endif %}{% endfor %}", "{% for i in l %}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.depth }}{{ loop.depth0 }} {% endfor %}",
    "{% for i in l %}{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }} {% endfor %}", "{% for i in l %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }} {% endfor %}", "{% for i in el %}x{% else %}none{% endfor %}", "{% for i in l if i > 1 %}{{ loop.index }}{{ loop.length }}{{ i }} {% endfor %}", "{% for i in l if i > 5 %}x{% else %}no{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "{% for k, v in d|dictsort %}{{ k }}={{ v }};{% endfor %}", "{% for k in d %}{{ k }}{% endfor %}", "{% for c in u %}{{ c }}.{% endfor %}", "{% for a, (b, c) in [(1, (2, 3)), (4, (5, 6))] %}{{ a }}{{ b }}{{ c }} {% endfor %}", "{% for i in undefined_name %}x{% else %}y{% endfor %}",
    "{% for i in range(5) %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}", "{% for i in range(5) %}{% if i is odd %}{% continue %}{% endif %}{{ i }}{% endfor %}", "{% for i in range(3) %}{% for j in range(3) %}{% if j == 1 %}{% break %}{% endif %}{{ i }}{{ j }} {% endfor %}{% endfor %}", "{% for i in range(2) %}{{ loop.index }}{% for j in range(2) %}{{ loop.index }}{% endfor %}{{ loop.index }};{% endfor %}",
    "{% for i in l %}{{ loop.cycle('a', 'b') }}{% endfor %}", "{% for i in [1, 1, 2, 2, 1] %}{{ loop.changed(i) }}{% endfor %}", "{% for i in range(10, 0, -3) %}{{ i }} {% endfor %}", "{% for i in range(2, 5) %}{{ i }}{% endfor %}", "{{ range(4)|list }}{{ range(1, 9, 3)|list }}", "{% for x in l|sort|reverse %}{{ x }}{% endfor %}", "{% for u in users if u.admin is defined and u.admin %}{{ u.name }}{% endfor %}", "{% for x in [1, 2, 3][1:] + [9] %}{{ x }}{% endfor %}", "{% for m in users[::-1] %}{{ m.name }} {% endfor %}",
    # scopes
    "{% set x = 1 %}{% for i in l %}{% set x = i %}{{ x }}{% endfor %}{{ x }}", "{% set ns = namespace(n=0, s='') %}{% for i in l %}{% set ns.n = ns.n + i %}{% set ns.s = ns.s ~ i %}{% endfor %}{{ ns.n }}{{ ns.s }}", "{% if true %}{% set x = 5 %}{% endif %}{{ x }}", "{% set a, b = 1, 2 %}{{ a }}{{ b }}", "{% set (a, b) = [3, 4] %}{{ a }}{{ b }}", "{% set a = 1, 2 %}{{ a }}", "{% set x %}  block {{ i }} {% endset %}[{{ x }}]", "{% set x | upper | trim %} abc {% endset %}[{{ x }}]",
    "{% set x = 1 %}{% set y %}{% set x = 2 %}{{ x }}{% endset %}{{ x }}{{ y }}", "{% for i in l %}{{ x is defined }}{% set x = i %}{% endfor %}", "{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q is defined }}", "{% with a = 1, b = i %}{{ a }}{{ b }}{% endwith %}", "{% set i = i + 1 %}{{ i }}", "{% set ns = namespace() %}{% set ns.x = [1] %}{{ ns.x }}{{ ns.y is defined }}", "{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a }}{{ ns.b }}{{ ns['a'] }}", "{% generation %}gen {{ i }}{% set z = 1 %}{% endgeneration %}{{ z is defined }}",
    "{% for x in l %}{% if loop.first %}{% set t2 = x %}{% endif %}{{ t2 is defined }}{% endfor %}",
    # if
    "{% if i == 1 %}a{% elif i == 7 %}b{% elif i == 8 %}c{% else %}d{% endif %}", "{% if undefined_name %}a{% else %}b{% endif %}", "{% if l and d and not el %}a{% endif %}", "{% if i is defined and i > 3 and s is string %}a{% endif %}", "{% if not x is defined %}a{% endif %}", "{% if (i, 1) %}a{% endif %}", "{{ 'a' if i > 100 }}", "{{ ('a' if i > 100) is defined }}", "{{ 'a' if i > 100 else 'b' if i > 5 else 'c' }}", "{{ 1 if true else 2 ~ 'x' }}", "{{ 'x' ~ 1 if true else 2 }}", "{% if 'a' in 'abc' and 'b' not in ['a'] %}ok{% endif %}",
    # macros
    "{% macro f(a, b=2, c=a) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ f(1) }}|{{ f(1, 5) }}|{{ f(a=3, c=4) }}|{{ f(1, c='x') }}", "{% macro f(a) %}[{{ a }}]{% endmacro %}{{ f() }}{{ f(a=f(1)) }}{{ f('x')|upper }}", "{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}", "{% macro f() %}{{ g }}{% endmacro %}{% set g = 1 %}{{ f() }}", "{% macro f(x) %}{{ caller() }}-{{ x }}{% endmacro %}{% call f(1) %}body {{ i }}{% endcall %}", "{% macro f() %}{% for x in l %}{{ caller(x, loop.index) }}{% endfor %}{% endmacro %}{% call(a, b) f() %}<{{ a }}{{ b }}>{% endcall %}",
    "{% macro f() %}{{ s }}{% endmacro %}{{ f() == s }}{{ f() is string }}{{ f.name }}", "{% macro f(a, b) %}{{ a }}{{ b is defined }}{% endmacro %}{{ f(1) }}", "{% set x = 1 %}{% macro f() %}{{ x }}{% endmacro %}{% set x = 2 %}{{ f() }}", "{% macro f(x) %}{% set x = x + 1 %}{{ x }}{% endmacro %}{{ f(1) }}{{ x is defined }}", "{%- macro f(x) -%}\n  {{- x -}}\n{%- endmacro -%}\n[{{ f('a') }}]", "{% filter upper %}a {{ s }}{% endfilter %}", "{% filter replace('a', 'b')|upper %}banana{% endfilter %}",
    "{% for i in range(2) %}{% macro f() %}{{ i }}{% endmacro %}{{ f() }}{% endfor %}", "{% macro a() %}A{{ b() }}{% endmacro %}{% macro b() %}B{% endmacro %}{{ a() }}", "{{ dict(a=1, b='x') }}{{ dict([('k', 1)]) }}{{ dict({'q': 2}, z=3) }}", "{% set j = joiner(', ') %}{% for x in l %}{{ j() }}{{ x }}{% endfor %}",
    # strings and escapes
    r"{{ 'a\nb\t\\\'\"\x41\u00e9\U0001F642\q\101' }}", '{{ "dq \' \\" " }}', "{{ 'a' 'b' \"c\" }}", "{{ 'multi\nline' }}", "{{ 'é' ~ '木' }}", "{{ '' }}", "{{ 'x' * 3 }}{{ 3 * 'y' }}{{ 'z' * 0 }}{{ 'q' * -1 }}", "{{ [1] * 2 }}{{ [1] + [2] }}{{ (1,) + (2,) }}", "{{ 'a\\\nb' }}",
    # what jinja2 refuses
    "{{ undefined_name.x }}", "{{ undefined_name() }}", "{{ undefined_name + 1 }}", "{{ undefined_name['a'] }}", "{{ d.zzz.y }}", "{{ 1 + 'a' }}", "{{ 'a' + 1 }}", "{{ l + (1,) }}", "{{ o + 1 }}", "{{ 1 < 'a' }}", "{{ o < 1 }}", "{{ 1 / 0 }}", "{{ 1 // 0 }}", "{{ 1 % 0 }}", "{{ i() }}", "{{ s() }}", "{{ 1 in 5 }}", "{{ 1 in 'a' }}", "{{ s.foo() }}", "{{ l.append(4) }}", "{{ d.update({}) }}", "{{ d.pop('a') }}", "{% for x in 5 %}{% endfor %}",
    "{% for x in none %}{% endfor %}", "{{ undefined_name|tojson }}", "{{ x|nofilter }}", "{{ x is notest }}", "{% if %}{% endif %}", "{% for x in %}{% endfor %}", "{{ }}", "{{ 1 + }}", "{% if 1 %}", "{% endif %}", "{% for i in l %}", "{{ 'a }}", "{{ (1 }}", "{{ [1, 2 }}", "{% nosuch %}", "{{ a b }}", "{{ 1 2 }}", "{# open", "{% raw %} open", "{% set 1 = 2 %}", "{% set x.y = 1 %}", "{% set s.y = 1 %}", "{% set a, b = [1] %}", "{% for a, b in [1] %}{% endfor %}", "{{ raise_exception('no') }}",
    "{% macro f(a) %}{% endmacro %}{{ f(1, 2) }}", "{% macro f(a) %}{% endmacro %}{{ f(b=1) }}", "{% macro f(a) %}{% endmacro %}{{ f(1, a=1) }}", "{{ 'abc'.split('') }}", "{{ 'a'.index('z') }}", "{{ ','.join([1]) }}", "{{ [1, 'a']|sort }}", "{{ l|map }}", "{{ l|selectattr }}", "{{ 5|length }}", "{{ none|length }}", "{{ range(100001) }}", "{{ range(0, 5, 0) }}", "{{ 'a'.startswith(1) }}", "{{ s.__class__.__mro__ }}", "{{ ''['__class__']['__base__'] }}", "{{ f.__init__.__globals__ }}", "{{ undefined_name|int }}", "{{ -s }}", "{{ l.__len__() }}",
    "{{ namespace.__init__ }}", "{% break %}", "{{ 'x'|round }}", "{{ l[::0] }}", "{{ l['a':] }}", "{{ {[1]: 2} }}", "{{ s|join(attribute='x')|length }}", "{{ l|map('nofilter')|list }}", "{{ l|select('notest')|list }}", "{{ (l|map('string'))[0] is defined }}", "{{ l|map('string')|length }}", "{{ l|map('string')|last }}", "{{ l|map('string')|tojson }}", "{{ d.items()|tojson }}",
]


def main():
    found = []
    seen = set()
    for source, extra in snippets():
        if source in seen:
            continue
        seen.add(source)
        case = {"source": source}
        try:
            case["output"] = ENV.from_string(source).render({**VARIABLES, **extra})
        except Exception:  # jinja2 lets Python's own exceptions through
            case["error"] = True
        if " object at 0x" in case.get("output", "") or "<generator" in case.get("output", "") or "<built-in" in case.get("output", "") or "<bound" in case.get("output", "") or "<function" in case.get("output", ""):
            continue  # an address, never the same twice
        found.append(case)
    out = {"variables": VARIABLES, "chats": list(chats()), "snippets": found}
    path = ROOT / "tests/data/text/template_cases.json"
    path.write_text(json.dumps(out, ensure_ascii=True, separators=(",", ":")) + "\n")
    errors = sum("error" in c for c in found)
    print(f"{len(out['chats'])} chats, {len(found)} snippets ({errors} refused), {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
