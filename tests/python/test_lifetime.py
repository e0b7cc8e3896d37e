"""Beginnings and ends: ctrl-C, shutdown, fork, the interpreter's exit. Each in a process of its own,
which must end by itself."""

import os
import signal
import subprocess
import sys
import time

import pytest

import glmoe

HEAD = """
import os, signal, sys, threading, time
import glmoe
llm = glmoe.LLM(sys.argv[1], backend="cpu")
endless = glmoe.SamplingParams(temperature=0, max_tokens=1900, ignore_eos=True)
"""


def run(code, demo, timeout=60, **options):
    return subprocess.run([sys.executable, "-c", HEAD + code, demo], capture_output=True, text=True,
                          timeout=timeout, **options)


@pytest.mark.parametrize(
    "call",
    [
        "llm.generate(['Hello'] * 64, endless, use_tqdm=False)",
        "llm.generate('Hello', endless)",
        "llm.generate(['Hello'] * 64, endless)",
        "[None for _ in llm.generate_streaming('Hello', endless)]",
        "llm.generate_async('Hello', endless).result()",
        "__import__('asyncio').run(llm.generate_async('Hello', endless).aresult())",
    ],
)
def test_ctrl_c_cancels_and_the_model_goes_on(demo, call):
    code = f"""
def interrupt():
    while llm.stats().num_running == 0: time.sleep(0.01)
    time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt, daemon=True).start()
start = time.monotonic()
try:
    {call}
    print("was not interrupted")
except KeyboardInterrupt:
    while llm.stats().num_running + llm.stats().num_waiting: time.sleep(0.01)
    print("again:", len(llm.generate("Hello", endless, max_tokens=3).outputs[0].token_ids))
"""
    done = run(code, demo)
    assert (done.stdout, done.returncode) == ("again: 3\n", 0), done.stderr


def test_ctrl_c_ends_a_program_as_it_ends_any(demo):
    process = subprocess.Popen(
        [sys.executable, "-c", HEAD + "print('ready', flush=True); llm.generate('Hello', endless)\n"
         "llm.generate(['Hello'] * 999, endless, use_tqdm=False)", demo],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert "KeyboardInterrupt" in errors
    assert process.returncode in (-signal.SIGINT, 130, 1)


def test_the_interpreter_ends_with_requests_under_way(demo):
    for ending in ("sys.exit(3)", "raise SystemExit(3)", "os._exit(3)"):
        done = run(f"""
results = [llm.generate_async("Hello", endless) for _ in range(20)]
stream = llm.generate_streaming("Hello", endless); next(stream)
{ending}
""", demo)
        assert (done.returncode, done.stderr) == (3, ""), ending


def test_the_interpreter_ends_while_a_thread_waits(demo):
    done = run("""
threading.Thread(target=lambda: llm.generate("Hello", endless), daemon=True).start()
while llm.stats().num_running == 0: time.sleep(0.01)
print("bye")
""", demo)
    assert (done.stdout, done.returncode, done.stderr) == ("bye\n", 0, "")


LEAK = """
import ctypes
ctypes.pythonapi.Py_IncRef(ctypes.py_object(glmoe.SamplingParams()))
"""


def test_the_interpreter_ends_without_a_word(demo):
    """nanobind names on stderr what outlives the interpreter: nothing does."""
    use = """
assert glmoe.QuantConfig(quant_mode=glmoe.QuantMode.FP8) != glmoe.QuantConfig()
class Steps:
    def __init__(self):
        self.params = glmoe.SamplingParams(max_tokens=2, logits_processor=self.change)
    def change(self, token_ids, logits): pass
steps = Steps()
llm.generate(["Hello"] * 2, steps.params, use_tqdm=False)
llm.chat([{"role": "user", "content": "Hello"}], max_tokens=2)
kept = list(llm.generate_streaming("Hello", max_tokens=2)), llm.generate("Hello", max_tokens=2)
try:
    llm.generate("")
except glmoe.Error as error:
    refused = error
import typing  # whose registries other modules may keep for ever: the package stays out of them
assert not [name for name in getattr(typing, "_overload_registry", ()) if "glmoe" in name]
"""
    done = run(use, demo)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert "nanobind: leaked 1 instances" in run(LEAK, demo).stderr


def test_a_forked_process_is_told_and_ends(demo):
    done = run("""
llm.generate("Hello", max_tokens=2)
result = llm.generate_async("Hello", endless)
child = os.fork()
if child == 0:
    try:
        llm.generate("Hello")
    except glmoe.Error as error:
        print(error.code, "forked" in str(error), flush=True)
    try:
        result.result()
    except glmoe.Error as error:
        print(error.code, flush=True)
    sys.exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
result.cancel()
print(result.result().outputs[0].finish_reason)
""", demo)
    assert done.stdout == "unavailable True\nunavailable\n0\ncancelled\n", done.stderr


def test_multiprocessing_with_spawn_works(demo, tmp_path):
    script = tmp_path / "workers.py"
    script.write_text("""
import multiprocessing, sys
import glmoe
def work(prompt):
    with glmoe.LLM(sys.argv[1], backend="cpu", num_threads=1) as llm:
        return llm.generate(prompt, max_tokens=3, temperature=0).outputs[0].token_ids
if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        first, second = pool.map(work, ["Hello", "Hello"])
    print(first == second, len(first))
""")
    done = subprocess.run([sys.executable, script, demo], capture_output=True, text=True, timeout=90)
    assert done.stdout == "True 3\n", done.stderr


def test_after_shutdown_everything_is_refused(demo):
    llm = glmoe.LLM(demo, backend="cpu")
    result = llm.generate_async("Hello", max_tokens=1500, ignore_eos=True, temperature=0)
    with llm:
        pass
    llm.shutdown()
    assert result.result(timeout=10).outputs[0].finish_reason == "cancelled"
    for call in (lambda: llm.generate("Hello"), llm.stats, llm.describe, lambda: llm.config,
                 lambda: llm.tokenize("a")):
        with pytest.raises(glmoe.Error, match="shut down") as caught:
            call()
        assert caught.value.code == "unavailable"
    assert repr(llm) == "LLM(shut down)"


def memory_mib():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def test_models_and_requests_leave_no_memory_or_descriptors(demo):
    def once():
        with glmoe.LLM(demo, backend="cpu", kv_cache_config=glmoe.KvCacheConfig(max_tokens=2048)) \
                as llm:
            for _ in range(20):
                llm.generate(["Hello"] * 8, max_tokens=4, logprobs=5, use_tqdm=False)
                list(llm.generate_streaming("Hello", max_tokens=4))

    for _ in range(3):
        once()
    memory, descriptors = memory_mib(), len(os.listdir("/proc/self/fd"))
    for _ in range(6):
        once()
    assert memory_mib() - memory < 24
    assert len(os.listdir("/proc/self/fd")) == descriptors
