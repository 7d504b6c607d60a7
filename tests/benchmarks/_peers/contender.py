"""A contender's process: builds, then does what it reads line by line.

run N CLOCK   N steps by the wall's clock or the CPU's; answers {"seconds": of each}
peak          answers {"mib": most memory since it was built}
look          answers {"features": of a fixed picture}
"""

import importlib
import json
import os
import sys
import time
from pathlib import Path


def main() -> None:
    # what the peers print goes to the error stream; answers alone go to the parent
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    from tests.benchmarks._peers.case import Contest

    contest = Contest.read(sys.argv[1])
    if contest.contender == "ours":
        # as the command line starts: before torch loads
        import guidegen  # noqa: F401
        from guidegen.utils.memory import keep_large_buffers

        keep_large_buffers()
    import torch

    if contest.threads:
        torch.set_num_threads(contest.threads)
    torch.manual_seed(0)
    module = {"ours": "ours", "big-sleep": "big_sleep", "VQGAN-CLIP": "vqgan_clip"}
    build = importlib.import_module(f"tests.benchmarks._peers.{module[contest.contender]}").build
    step, look = build(contest)
    cuda = contest.device.startswith("cuda")
    reset_peak(cuda)
    chosen = getattr(step, "arithmetic", {})
    answers.write(json.dumps({"ready": True, "mib": resident(), "arithmetic": chosen}) + "\n")
    for line in sys.stdin:
        command, *rest = line.split()
        if command == "run":
            clock = time.process_time if rest[1] == "cpu" else time.perf_counter
            seconds = []
            for _ in range(int(rest[0])):
                start = clock()
                step()
                if cuda:
                    torch.cuda.synchronize()
                seconds.append(clock() - start)
            answers.write(json.dumps({"seconds": seconds}) + "\n")
        elif command == "peak":
            answers.write(json.dumps({"mib": peak(cuda)}) + "\n")
        else:
            picture = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
            features = torch.nn.functional.normalize(look(picture.to(contest.device)), dim=-1)
            answers.write(json.dumps({"features": features[0].tolist()}) + "\n")


def reset_peak(cuda: bool) -> None:
    """Forget the peak of loading: it is the steps that are compared."""
    if cuda:
        import torch

        torch.cuda.reset_peak_memory_stats()
    elif Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")


def peak(cuda: bool) -> float:
    """MiB: of the GPU's allocator, or resident in this process."""
    if cuda:
        import torch

        return torch.cuda.max_memory_allocated() / 2**20
    return status("VmHWM")


def resident() -> float:
    """MiB."""
    return status("VmRSS")


def status(key: str) -> float:
    """A line of /proc/self/status, in MiB; elsewhere the peak that the system keeps."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on macOS
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


if __name__ == "__main__":
    main()
