"""The one entry to training: tokenizer, pretrain, finetune, evaluate, experiment. `python train.py --help`."""

from kbioxlm.common.cli import run
from kbioxlm.training.commands import app

if __name__ == "__main__":
    run(app)
