#!/usr/bin/env python3
"""Measures the light endpoint of http-service, idle and while heavy requests hold every CPU, on DIS and on tokio, in turns.

Needs wrk (apt-get install wrk). Run from the repository's root: python3 examples/http-service/compare.py --help
"""
import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
HOSTS = ["dis", "dis, fifo", "dis, plain", "tokio", "tokio-blocking"]
REACTORS = {"dis, fifo": ["--reactor", "fifo"], "dis, plain": ["--reactor", "plain"]}
FIGURES = ["idle p50", "idle p99", "idle p999", "load p50", "load p99", "load p999", "heavy/s", "beats late", "beat worst"]


def wrk(url, connections, seconds, delay_ms, first):
    """Starts the load generator; `first`: ahead of the service, so that it measures the service and not its own wait for a CPU."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(HERE / "wrk.lua"), url]
    if first:
        command = ["chrt", "-f", "50", *command]
    env = dict(os.environ, DELAY_MS=str(delay_ms))
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def result(process):
    text, _ = process.communicate()
    for line in text.splitlines():
        if line.startswith("JSON "):
            return json.loads(line[5:])
    sys.exit(f"wrk failed:\n{text}")


def metrics(base):
    with urllib.request.urlopen(base + "/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


def measure(program, host, args, rounds):
    command = [program, "--on", host.split(",")[0], *REACTORS.get(host, []), "--listen", "127.0.0.1:0", "--rounds", str(rounds)]
    service = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        base = service.stdout.readline().split()[-1]
        light = lambda seconds: wrk(base + "/light", args.connections, seconds, args.delay, args.first)
        result(light(1))
        idle = result(light(args.seconds))
        before = metrics(base)
        heavy = wrk(base + "/heavy", args.heavy, args.seconds + 2, 0, args.first)
        time.sleep(1)
        load = result(light(args.seconds))
        heavy = result(heavy)
        after = metrics(base)
    finally:
        service.terminate()
        service.wait()
    if idle["errors"] + load["errors"] + heavy["errors"]:
        print(f"{host}: {idle['errors']} + {load['errors']} + {heavy['errors']} requests failed", file=sys.stderr)
    return {
        **{f"idle {p}": idle[p] for p in ("p50", "p99", "p999")},
        **{f"load {p}": load[p] for p in ("p50", "p99", "p999")},
        "heavy/s": heavy["requests"] / heavy["seconds"],
        "beats late": sum(after[name] - before[name] for name in ("beats_late_total", "beats_skipped_total")),
        "beat worst": after["beat_latest_seconds"] * 1e6,
        "requests": load["requests"],
    }


def machine():
    """Seconds of CPU time so far: of all processes, stolen by the hypervisor, of this program and what it has started."""
    ticks = [int(n) for n in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    user, nice, system, _, _, irq, softirq, steal = (n / os.sysconf("SC_CLK_TCK") for n in ticks)
    ours = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return user + nice + system + irq + softirq, steal, sum(usage.ru_utime + usage.ru_stime for usage in ours), time.time()


def noise(before, after):
    everything, steal, ours, seconds = (b - a for a, b in zip(before, after))
    capacity = seconds * os.cpu_count() / 100
    return f"other processes {max(everything - ours, 0) / capacity:.1f} %, steal {steal / capacity:.1f} % of the CPU time"


def show(value, name):
    if name in ("heavy/s", "beats late"):
        return f"{value:.1f}"
    return f"{value / 1000:.2f} ms" if value >= 1000 else f"{value:.0f} µs"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="rounds; each measures every host once (default 3)")
    parser.add_argument("--seconds", type=int, default=5, help="seconds of each measurement (default 5)")
    parser.add_argument("--connections", type=int, default=8, help="connections for light requests (default 8)")
    parser.add_argument("--heavy", type=int, default=8, help="connections for heavy requests (default 8)")
    parser.add_argument("--delay", type=int, default=10, help="mean pause of a light connection, ms (default 10)")
    parser.add_argument("--json", metavar="FILE", help="writes all figures of all rounds")
    parser.add_argument("--only", help="measures only these, separated by a semicolon, of: " + "; ".join(HOSTS))
    args = parser.parse_args()
    hosts = [host.strip() for host in args.only.split(";")] if args.only else HOSTS
    if unknown := set(hosts) - set(HOSTS):
        parser.error(f"--only: {', '.join(unknown)} is none of: {'; '.join(HOSTS)}")
    if not shutil.which("wrk"):
        sys.exit("wrk is missing: apt-get install wrk")
    build = ["cargo", "build", "--release", "-p", "http-service", "--message-format=json"]
    built = subprocess.run(build, stdout=subprocess.PIPE, text=True)
    if built.returncode:
        sys.exit("the service does not build")
    messages = [json.loads(line) for line in built.stdout.splitlines()]
    program = next(m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == "http-service")
    args.first = subprocess.run(["chrt", "-f", "50", "true"], stderr=subprocess.DEVNULL).returncode == 0
    if not args.first:
        print("wrk may not use SCHED_FIFO: its own waits for a CPU are in all latencies", file=sys.stderr)
    rounds = int(subprocess.run([program, "--calibrate"], stdout=subprocess.PIPE, text=True, check=True).stdout)
    before = machine()
    runs = {host: [] for host in hosts}
    for n in range(args.rounds):
        for host in hosts:
            print(f"round {n + 1} of {args.rounds}: {host}", file=sys.stderr)
            runs[host].append(measure(program, host, args, rounds))
    if args.json:
        Path(args.json).write_text(json.dumps(runs, indent=1))
    load = Path("/proc/loadavg").read_text().split()[0]
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "unknown CPU")
    print(f"{time.strftime('%Y-%m-%d %H:%M')}, {os.cpu_count()} CPUs ({cpu}), Linux {os.uname().release}")
    print(f"Medians of {args.rounds} rounds; load average at the end {load}, {noise(before, machine())}")
    print(f"{'':16}" + "".join(f"{name:>12}" for name in FIGURES))
    for host in hosts:
        medians = [show(statistics.median(run[name] for run in runs[host]), name) for name in FIGURES]
        print(f"{host:16}" + "".join(f"{median:>12}" for median in medians))


main()
