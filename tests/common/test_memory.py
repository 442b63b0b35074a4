from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# Two blocks of different size, again and again: page faults of the last rounds.
FAULTS = """
import resource, sys
import torch
from kbioxlm.common.memory import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
torch.set_num_threads(1)
faults = []
for _ in range(20):
    block, other = torch.empty(16_000_000).fill_(1.0), torch.empty(6_000_000).fill_(1.0)
    del block, other
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(faults[-1] - faults[-6])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")
def test_freed_memory_is_used_again() -> None:
    faults = {
        how: int(subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, check=True, text=True).stdout)
        for how in ("kept", "returned")
    }
    assert faults["kept"] < 100 < faults["returned"]
