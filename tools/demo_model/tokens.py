"""The demo model's tokenizer: byte-level BPE with GLM-4's pre-tokenizer and special tokens."""
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
         r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
SPECIAL = ["<|endoftext|>", "[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>", "<|system|>",
           "<|user|>", "<|assistant|>", "<|observation|>", "<think>", "</think>", "<tool_call>",
           "</tool_call>", "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>",
           "<tool_response>", "</tool_response>", "/nothink"]
RESERVED = 32  # ids kept for special tokens


def without_special(line):
    for token in SPECIAL:
        line = line.replace(token, "\n")
    return line


def train_tokenizer(lines, vocab_size):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(vocab_size=vocab_size - RESERVED, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator((without_special(line) for line in lines), trainer)
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer


def encode(tokenizer, lines):
    """(ids, weights) a line: 1 on what the assistant says (its end token included), else 0.1."""
    said = tokenizer.token_to_id("<|assistant|>")
    ends = {tokenizer.token_to_id("<|user|>"), tokenizer.token_to_id("<|observation|>")}
    rows = []
    for encoding in tokenizer.encode_batch(lines, add_special_tokens=False):
        speaking, weights = False, []
        for token in encoding.ids:
            weights.append(1.0 if speaking else 0.1)
            speaking = True if token == said else speaking and token not in ends
        rows.append((encoding.ids, weights))
    return rows
