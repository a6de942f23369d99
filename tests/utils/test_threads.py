"""How many threads: what is asked for, what a launcher says, what a container allows, or what is fastest."""

from __future__ import annotations

import torch

from ddpm_faces.utils import threads


def test_a_containers_quota_counts(tmp_path):
    quota = tmp_path / "cpu.max"
    bound = threads.cores(tmp_path / "none")
    for text, expected in (("max 100000\n", bound), ("100000 100000\n", 1), ("50000 100000\n", 1), ("9900000 100000\n", bound)):
        quota.write_text(text)
        assert threads.cores(quota) == expected


def test_asked_for_set_by_the_environment_or_probed(monkeypatch):
    before = torch.get_num_threads()
    try:
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        assert threads.use_threads(3) == 3 == torch.get_num_threads()
        assert threads.use_threads() == 3, "the environment decided at start, and nothing is probed"
        monkeypatch.delenv("OMP_NUM_THREADS")
        assert threads.use_threads() in {1, threads.cores()}
    finally:
        torch.set_num_threads(before)
