"""Holds the agent's GPU values against those of nvidia-smi and nvidia-ml-py of the same seconds.

check.py --agent PATH [--nvml PATH] [--seconds 60] [--load] [--out SHAPE.json]

Prints what was compared and how far it was apart, what the agent cost, and how long each NVML
call took; exits with 1 when values differ by more than they may change within a second. With
--out, writes the shape: which series exist, their labels, whether values are whole numbers, and
their range, without serial numbers, UUIDs or addresses.
"""

import argparse
import collections
import ctypes
import json
import os
import subprocess
import sys
import threading
import time

IDENTITY = {"uuid", "gpu_uuid", "pci_bus_id", "serial", "pid", "name", "remote_pci_bus_id", "peer_uuid", "pod", "namespace", "container"}


class Peer:
    """nvidia-ml-py: one reading of everything that is compared, keyed like the agent's series."""

    def __init__(self, library):
        if library:
            ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
        import pynvml

        self.n = pynvml
        if library:
            pynvml.nvmlLib = ctypes.CDLL(library)
            original = pynvml._LoadNvmlLibrary
            pynvml._LoadNvmlLibrary = lambda: None if pynvml.nvmlLib else original()
        self.n.nvmlInit()
        count = self.n.nvmlDeviceGetCount()
        self.handles = [self.n.nvmlDeviceGetHandleByIndex(i) for i in range(count)]
        self.uuids = [text(self.n.nvmlDeviceGetUUID(h)) for h in self.handles]

    def read(self):
        n, out = self.n, {}
        for handle, uuid in zip(self.handles, self.uuids):
            def put(metric, call, factor=1.0, **labels):
                try:
                    value = call()
                except n.NVMLError:
                    return
                out[(metric, uuid, tuple(sorted(labels.items())))] = value * factor

            put("gpu_temperature_celsius", lambda: n.nvmlDeviceGetTemperature(handle, 0))
            put("gpu_power_watts", lambda: n.nvmlDeviceGetPowerUsage(handle), 1e-3)
            put("gpu_energy_joules_total", lambda: n.nvmlDeviceGetTotalEnergyConsumption(handle), 1e-3)
            put("gpu_utilization_ratio", lambda: n.nvmlDeviceGetUtilizationRates(handle).gpu, 1e-2)
            put("gpu_memory_copy_utilization_ratio", lambda: n.nvmlDeviceGetUtilizationRates(handle).memory, 1e-2)
            put("gpu_clock_hertz", lambda: n.nvmlDeviceGetClockInfo(handle, 1), 1e6, clock="sm")
            put("gpu_clock_hertz", lambda: n.nvmlDeviceGetClockInfo(handle, 2), 1e6, clock="memory")
            put("gpu_memory_used_bytes", lambda: n.nvmlDeviceGetMemoryInfo(handle, version=n.nvmlMemory_v2).used)
            put("gpu_memory_free_bytes", lambda: n.nvmlDeviceGetMemoryInfo(handle, version=n.nvmlMemory_v2).free)
            put("gpu_memory_total_bytes", lambda: n.nvmlDeviceGetMemoryInfo(handle, version=n.nvmlMemory_v2).total)
            put("gpu_memory_reserved_bytes", lambda: n.nvmlDeviceGetMemoryInfo(handle, version=n.nvmlMemory_v2).reserved)
            put("gpu_encoder_utilization_ratio", lambda: n.nvmlDeviceGetEncoderUtilization(handle)[0], 1e-2)
            put("gpu_decoder_utilization_ratio", lambda: n.nvmlDeviceGetDecoderUtilization(handle)[0], 1e-2)
            put("gpu_performance_state", lambda: n.nvmlDeviceGetPerformanceState(handle))
            put("gpu_pcie_link_generation", lambda: n.nvmlDeviceGetCurrPcieLinkGeneration(handle))
            put("gpu_pcie_link_generation_max", lambda: n.nvmlDeviceGetMaxPcieLinkGeneration(handle))
            put("gpu_pcie_link_width", lambda: n.nvmlDeviceGetCurrPcieLinkWidth(handle))
            put("gpu_pcie_link_width_max", lambda: n.nvmlDeviceGetMaxPcieLinkWidth(handle))
            put("gpu_pcie_replay_total", lambda: n.nvmlDeviceGetPcieReplayCounter(handle))
            for kind, error in ((0, "corrected"), (1, "uncorrected")):
                for which, counter in ((0, "volatile"), (1, "aggregate")):
                    put("gpu_ecc_errors_total", lambda k=kind, w=which: n.nvmlDeviceGetTotalEccErrors(handle, k, w),
                        error=error, counter=counter)
            put("gpu_power_limit_watts", lambda: n.nvmlDeviceGetEnforcedPowerLimit(handle), 1e-3, limit="enforced")
            put("gpu_bar1_used_bytes", lambda: n.nvmlDeviceGetBAR1MemoryInfo(handle).bar1Used)
            put("gpu_persistence_mode", lambda: n.nvmlDeviceGetPersistenceMode(handle))
        return out


def text(value):
    return value.decode() if isinstance(value, bytes) else value


SMI = {
    "temperature.gpu": ("gpu_temperature_celsius", (), 1.0),
    "utilization.gpu": ("gpu_utilization_ratio", (), 1e-2),
    "clocks.sm": ("gpu_clock_hertz", (("clock", "sm"),), 1e6),
    "clocks.mem": ("gpu_clock_hertz", (("clock", "memory"),), 1e6),
    "memory.used": ("gpu_memory_used_bytes", (), float(1 << 20)),
    "pcie.link.width.current": ("gpu_pcie_link_width", (), 1.0),
}


class Smi:
    """nvidia-smi: the same, by its command."""

    def read(self):
        query = ",".join(["uuid", *SMI])
        out = {}
        lines = subprocess.run(
            ["nvidia-smi", "--query-gpu=" + query, "--format=csv,noheader,nounits"],
            capture_output=True, text=True, check=True).stdout.splitlines()
        for line in lines:
            uuid, *values = [part.strip() for part in line.split(",")]
            for (metric, labels, factor), value in zip(SMI.values(), values):
                try:
                    out[(metric, uuid, labels)] = float(value) * factor
                except ValueError:
                    pass
        return out


def tolerance(metric, value):
    """How much may lie between two readings within a second and a half."""
    if metric in ("gpu_utilization_ratio", "gpu_memory_copy_utilization_ratio"):
        return 1.0  # a mean over a window that each reader sees at another phase
    if metric == "gpu_temperature_celsius":
        return 6.0
    if metric == "gpu_power_watts":
        return max(60.0, abs(value) * 0.5)
    if metric == "gpu_energy_joules_total":
        return 3000.0
    if metric == "gpu_clock_hertz":
        return max(2e8, abs(value) * 0.6)
    if metric in ("gpu_memory_used_bytes", "gpu_memory_free_bytes", "gpu_bar1_used_bytes"):
        return max(64 << 20, abs(value) * 0.05)
    if metric.endswith("_link_generation") or metric == "gpu_performance_state":
        return 16.0  # follows the load at once
    return 0.0


class Cost:
    """CPU time and resident memory of a process, sampled until it ends."""

    def __init__(self, pid):
        self.pid, self.cpu, self.resident, self.anonymous = pid, 0.0, 0, 0

    def look(self):
        try:
            fields = open(f"/proc/{self.pid}/stat").read().rsplit(")", 1)[1].split()
            self.cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            for line in open(f"/proc/{self.pid}/status"):
                name, _, value = line.partition(":")
                if name == "VmRSS":
                    self.resident = max(self.resident, int(value.split()[0]) << 10)
                if name == "RssAnon":
                    self.anonymous = max(self.anonymous, int(value.split()[0]) << 10)
        except (OSError, IndexError):
            pass


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--agent", required=True)
    parser.add_argument("--nvml", help="another library, for both sides")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--load", action="store_true")
    parser.add_argument("--out")
    arguments = parser.parse_args()
    peers = {}
    try:
        peers["nvidia-ml-py"] = Peer(arguments.nvml)
    except ImportError:
        print("nvidia-ml-py is not installed: not compared", file=sys.stderr)
    if not arguments.nvml and subprocess.run(["sh", "-c", "command -v nvidia-smi"], capture_output=True).returncode == 0:
        peers["nvidia-smi"] = Smi()
    if not peers:
        sys.exit("nothing to compare with: neither nvidia-ml-py nor nvidia-smi")
    config = f"/tmp/gpu-check-{os.getpid()}.toml"
    with open(config, "w") as file:
        file.write("node = 'gpu-check'\n")
        if arguments.nvml:
            file.write(f"[paths]\nnvml = '{arguments.nvml}'\n")
    load = None
    if arguments.load:
        here = os.path.dirname(os.path.abspath(__file__))
        load = subprocess.Popen([sys.executable, os.path.join(here, "load.py"), str(arguments.seconds + 5)])
        time.sleep(3)
    command = [arguments.agent, "--config", config, "read", "--collector", "gpu", "--json", "--for", f"{arguments.seconds}s"]
    agent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    cost, samples, events = Cost(agent.pid), [], []

    def listen():
        for line in agent.stdout:
            record = json.loads(line)
            (samples if "metric" in record else events).append(record)

    listener = threading.Thread(target=listen)
    listener.start()
    readings = []
    while agent.poll() is None:
        for name, peer in peers.items():
            before = time.time()
            values = peer.read()
            readings.append((name, (before + time.time()) / 2, values))
        cost.look()
        time.sleep(0.5)
    listener.join()
    os.unlink(config)
    if load:
        load.terminate()
    if agent.returncode != 0:
        sys.exit(f"the agent ended with {agent.returncode}")
    sys.exit(report(arguments, samples, events, readings, cost))


def report(arguments, samples, events, readings, cost):
    series = collections.defaultdict(list)
    for s in samples:
        labels = dict(s["labels"])
        uuid = labels.pop("uuid", "")
        value = float(s["value"])
        series[(s["metric"], uuid, tuple(sorted(labels.items())))].append((s["time_ms"] / 1e3, value))
    compared = collections.defaultdict(lambda: [0, 0, 0.0])
    missing = set()
    for peer, at, values in readings:
        for key, theirs in values.items():
            if key not in series:
                missing.add((peer, key[0], key[2]))
                continue
            near = [v for t, v in series[key] if abs(t - at) <= 1.5]
            if not near:
                continue
            ours = min(near, key=lambda v: abs(v - theirs))
            row = compared[(peer, key[0], key[2])]
            row[0] += 1
            row[1] += abs(ours - theirs) > tolerance(key[0], theirs)
            row[2] = max(row[2], abs(ours - theirs))
    wrong = 0
    print(f"{'peer':14} {'series':58} {'compared':>8} {'apart':>6} {'most':>14}")
    for (peer, metric, labels), (count, apart, most) in sorted(compared.items()):
        name = metric + ("{" + ",".join(f"{k}={v}" for k, v in labels) + "}" if labels else "")
        print(f"{peer:14} {name:58} {count:8} {apart:6} {most:14.6g}")
        wrong += apart > max(1, count // 20)
    for peer, metric, labels in sorted(missing):
        print(f"{peer:14} {metric} {dict(labels)} is not among the agent's")
    seconds = max(arguments.seconds, 1)
    devices = {uuid for (_, uuid, _) in series if uuid}
    print(f"\nGPUs and MIG devices: {len(devices)}, series: {len(series)}, events: {len(events)}")
    print(f"agent: {100 * cost.cpu / seconds:.3f} % of one core, RSS {cost.resident / 2**20:.1f} MiB, "
          f"of which anonymous {cost.anonymous / 2**20:.1f} MiB")
    calls = [(max(v for _, v in values), dict(labels).get("call", "")) for (metric, _, labels), values in series.items()
             if metric == "sextant_gpu_call_seconds"]
    for longest, call in sorted(calls, reverse=True)[:40]:
        print(f"{call:48} longest {longest * 1e3:9.3f} ms")
    if arguments.out:
        with open(arguments.out, "w") as file:
            json.dump(shape(series), file, indent=1, sort_keys=True)
            file.write("\n")
        print(f"shape written to {arguments.out}")
    if not compared:
        print("nothing could be compared", file=sys.stderr)
        return 1
    return 1 if wrong or missing else 0


def shape(series):
    """Which series there are, by metric and labels without identity; whole numbers; range."""
    out = {}
    models, drivers, gpus = set(), set(), set()
    for (metric, uuid, labels), values in series.items():
        if metric == "gpu_info":
            models.add(dict(labels).get("model", ""))
            gpus.add(uuid)
        if metric == "gpu_driver_info":
            drivers.add(dict(labels).get("driver_version", ""))
        kept = {k: v for k, v in labels if k not in IDENTITY}
        keys = {k for k, _ in labels}
        if metric.endswith("_info"):
            kept = {}
        entry = out.setdefault(metric, {"labels": [], "series": {}})
        entry["labels"] = sorted(keys | set(entry["labels"]))
        name = ",".join(f"{k}={v}" for k, v in sorted(kept.items()))
        numbers = [v for _, v in values]
        old = entry["series"].get(name)
        low, high = min(numbers), max(numbers)
        whole = all(v == int(v) for v in numbers if abs(v) < 2**63)
        if old:
            low, high, whole = min(low, old["min"]), max(high, old["max"]), whole and old["whole"]
        entry["series"][name] = {"min": low, "max": high, "whole": whole}
    return {"models": sorted(models), "drivers": sorted(drivers), "gpus": len(gpus), "metrics": out}


main()
