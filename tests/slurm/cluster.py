"""A SLURM cluster of one node on loopback, without systemd, cgroups or an accounting database."""

import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

SYSTEM = Path("/etc/slurm")
MARK = "# covidcxr's tests wrote this file and remove it.\n"
PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "squeue", "scancel", "sinfo")
CPUS = 4  # the rules' default threads, on whatever machine this is
MEMORY_MB = 12000
PARTITION = "test"
GPU_PARTITION = "testgpu"
ACCOUNT = "lab"


def why_not() -> str | None:
    """Return why no cluster can be started here, or nothing."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"no SLURM here ({', '.join(missing)}): apt-get install slurm-wlm munge"
    if os.geteuid() != 0:
        return "the test's SLURM writes to /etc/slurm and needs root"
    theirs = SYSTEM / "slurm.conf"
    if theirs.exists() and not theirs.read_text().startswith(MARK):
        return f"{theirs} is somebody's cluster: not touched"
    return None


def clear() -> None:
    """Remove what the tests wrote to /etc/slurm."""
    for name in ("slurm.conf", "gres.conf", "cgroup.conf"):
        file = SYSTEM / name
        if file.exists() and file.read_text().startswith(MARK):
            file.unlink()


def clear_what_was_left() -> None:
    """Remove what killed tests left: Snakemake's plugin would ask that cluster at each start."""
    file = SYSTEM / "slurm.conf"
    old = file.exists() and time.time() - file.stat().st_mtime > 60
    if old and not _output("pgrep", "-x", "slurmctld"):
        clear()  # its answer takes nine seconds not to come


@dataclass(frozen=True)
class Submission:
    """One `sbatch`, as `squeue` remembers it."""

    number: int
    run_id: str
    rule: str
    state: str
    memory: str
    gpus: str
    account: str
    submitted: str
    start: str
    end: str


class Cluster:
    """Daemons with their files in one folder, and the three files that must stand in /etc/slurm."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pid_files = [folder / f"{name}.pid" for name in ("slurmd", "slurmctld", "munged")]

    def start(self) -> None:
        """Start munge, controller and node, and wait until the node is idle."""
        self.folder.chmod(0o755)  # munged refuses a socket in a closed folder
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        self._configure()
        self._munge()
        for daemon in ("slurmctld", "slurmd"):
            subprocess.run([daemon, "-f", SYSTEM / "slurm.conf"], check=True, timeout=30)
        deadline = time.monotonic() + 60
        while (state := _output("sinfo", "-h", "-o", "%t")) != "idle":
            if time.monotonic() > deadline:
                log = (self.folder / "slurmctld.log").read_text()
                raise TimeoutError(f"the node is {state!r}, not idle:\n{log}")
            time.sleep(0.5)

    def stop(self) -> None:
        """Cancel all jobs, end the daemons by their pid files, clear /etc/slurm."""
        # The daemons are the test's own, so every job is.
        subprocess.run(["scancel", "--user=root"], check=False, timeout=30)
        self._await_empty()
        for pid_file in self.pid_files:
            if pid_file.exists():
                _end(int(pid_file.read_text()))
        clear()

    def submissions(self) -> list[Submission]:
        """Return every job so far, ended ones too (`MinJobAge`), by number."""
        # Fields of --Format are cut at a width, hence the explicit ones.
        fields = ("JobID:20", "Name:60", "Comment:120", "State:20", "MinMemory:20")
        fields += ("tres-per-job:40", "Account:30", "SubmitTime:30", "StartTime:30", "EndTime:30")
        text = _output("squeue", "-h", "--states=all", f"--Format={','.join(fields)}")
        rows = []
        for line in text.splitlines():
            number, run_id, comment, *rest = _columns(
                line, (20, 60, 120, 20, 20, 40, 30, 30, 30, 30)
            )
            rule = comment.removeprefix("rule_").split("_wildcards_")[0]
            rows.append(Submission(int(number), run_id, rule, *rest))
        return sorted(rows, key=lambda row: row.number)

    def cancel(self, run_id: str) -> None:
        """Cancel the jobs of one run of Snakemake, and wait until they have ended."""
        subprocess.run(["scancel", "--name", run_id], check=True, timeout=30)
        self._await_empty()

    def _await_empty(self) -> None:
        deadline = time.monotonic() + 60
        while _output("squeue", "-h") and time.monotonic() < deadline:
            time.sleep(0.5)

    def _munge(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        subprocess.run(
            [
                "munged",
                f"--key-file={key}",
                f"--socket={self.folder}/munge.socket",
                f"--pid-file={self.folder}/munged.pid",
                f"--log-file={self.folder}/munged.log",
                f"--seed-file={self.folder}/munged.seed",
                "--force",
            ],
            check=True,
            timeout=30,
        )

    def _configure(self) -> None:
        host = socket.gethostname()
        folder = self.folder
        text = f"""\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort=17817
SlurmdPort=17818
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
ReturnToService=2
GresTypes=gpu
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MinJobAge=3600
NodeName={host} NodeAddr=127.0.0.1 CPUs={CPUS} RealMemory={MEMORY_MB} Gres=gpu:1 State=UNKNOWN
PartitionName={PARTITION} Nodes={host} Default=YES MaxTime=INFINITE State=UP
PartitionName={GPU_PARTITION} Nodes={host} MaxTime=INFINITE State=UP
"""
        SYSTEM.mkdir(exist_ok=True)
        (SYSTEM / "slurm.conf").write_text(MARK + text)
        (SYSTEM / "gres.conf").write_text(MARK + f"NodeName={host} Name=gpu File=/dev/null\n")
        (SYSTEM / "cgroup.conf").write_text(MARK + "CgroupAutomount=no\n")


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    return done.stdout.rstrip()


def _columns(line: str, widths: tuple[int, ...]) -> list[str]:
    columns = []
    for width in widths:
        columns.append(line[:width].strip())
        line = line[width:]
    return columns


def _end(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGTERM)
        for _ in range(100):
            os.kill(pid, 0)
            time.sleep(0.1)
    except ProcessLookupError:
        return
