"""The one entry to training: tokenizer, pretrain, finetune, evaluate, experiment. `python train.py --help`."""

from kbioxlm.common.cli import run
from kbioxlm.common.memory import keep_freed_memory
from kbioxlm.training.commands import app

if __name__ == "__main__":
    keep_freed_memory()
    run(app)
