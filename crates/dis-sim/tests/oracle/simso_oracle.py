"""Schedules of random integer task sets by SimSo, as an oracle for dis-sim.

SimSo (github.com/MaximeCheramy/simso, CeCILL; PyPI `simso` 0.8.5) runs with Python 3.11 at most:

    python3.11 -m venv target/simso && target/simso/bin/pip install simso==0.8.5
    target/simso/bin/python crates/dis-sim/tests/oracle/simso_oracle.py sets 400 1 > crates/dis-sim/tests/oracle/simso.jsonl
    target/simso/bin/python crates/dis-sim/tests/oracle/simso_oracle.py speed > target/simso/speed.jsonl

`sets N SEED` writes N sets, one JSON object a line. `speed` writes larger sets, and how long SimSo took for each.

SimSo's engine is used with a scheduler of our own, as the stock ones order equal deadlines by the internals of their queues.
Ours decides by (deadline, jobs that ran until now first, task number) for EDF and (period, ran first, number) for RM; a job
that goes on keeps its CPU, others get the lowest free ones. Each schedule is compared with a second one, made tick by tick
and independently of SimSo, before it is written.

A line: `policy` edf, rm or global-edf; `cpus`; `tasks`, each [wcet, deadline, period, offset] in ticks; `end`, the last tick
simulated; `miss`, the first deadline missed, up to which alone schedules can be compared, as systems differ in what they do
with late jobs, or null; `tie`, the first tick at which two jobs of equal rank wanted a CPU, or null; `slices`, each [task,
job, from, to, cpu], numbers from 0, jobs from 1.
"""

import json
import random
import sys
import time

from simso.configuration import Configuration
from simso.core import Model, Scheduler
from simso.core.JobEvent import JobEvent

PERIODS = [4, 5, 6, 8, 10, 12, 15, 20, 24, 30, 40, 60]
END = 120


def rank(policy, task, release):
    """What comes first, without regard to who runs."""
    _, deadline, period, _ = task
    return period if policy == "rm" else release + deadline


class TotalOrder(Scheduler):
    """Global scheduling by a total order; see above."""

    policy = "edf"
    tasks = []

    def init(self):
        # Which job each CPU has, and since when.
        self.given = {cpu: (None, 0) for cpu in self.processors}

    def on_activate(self, job):
        job.cpu.resched()

    def on_terminated(self, job):
        job.cpu.resched()

    def schedule(self, cpu):
        now = self.sim.now()
        # What happens at one instant is decided at once: who was given a CPU at this instant has not run yet.
        ran = {job: cpu for cpu, (job, since) in self.given.items() if job is not None and since < now}

        def key(job):
            number = job.task.identifier
            return (rank(self.policy, self.tasks[number], job.activation_date), job not in ran, number)

        active = sorted((t.job for t in self.task_list if t.is_active()), key=key)
        chosen = active[: len(self.processors)]
        places = {ran[job]: job for job in chosen if job in ran}
        free = [c for c in self.processors if c not in places]
        places.update(zip(free, (job for job in chosen if job not in ran)))
        decisions = []
        for c in self.processors:
            job = places.get(c)
            if self.given[c][0] is not job:
                self.given[c] = (job, now)
            if c.running is not job:
                decisions.append((job, c))
        # CPUs are emptied first, so that no job is on two of them.
        decisions.sort(key=lambda decision: decision[0] is not None)
        return decisions


def simulate(policy, cpus, tasks, end):
    """SimSo's slices, sorted."""
    configuration = Configuration()
    configuration.cycles_per_ms = 1
    configuration.duration = end
    configuration.etm = "wcet"
    for number, (wcet, deadline, period, offset) in enumerate(tasks):
        configuration.add_task(name="T%d" % number, identifier=number, period=period, activation_date=offset,
                               wcet=wcet, deadline=deadline, abort_on_miss=False)
    for cpu in range(cpus):
        configuration.add_processor(name="CPU%d" % cpu, identifier=cpu)
    configuration.scheduler_info.clas = type("Order", (TotalOrder,), {"policy": policy, "tasks": tasks})
    model = Model(configuration)
    model.run_model()
    slices = []
    for task in model.task_list:
        begun = None
        for at, event in task.monitor:
            if event.event == JobEvent.EXECUTE:
                begun = (int(event.job.name.rsplit("_", 1)[1]), at, event.cpu.identifier)
            elif event.event in (JobEvent.PREEMPTED, JobEvent.TERMINATED) and begun:
                slices.append((task.identifier, begun[0], begun[1], min(at, end), begun[2]))
                begun = None
        if begun:
            slices.append((task.identifier, begun[0], begun[1], end, begun[2]))
    return merge(slices)


def merge(slices):
    """Slices of one job on one CPU that adjoin are one; those without length are none."""
    merged = []
    for s in sorted(s for s in slices if s[2] < s[3]):
        if merged and merged[-1][:2] == s[:2] and merged[-1][3] == s[2] and merged[-1][4] == s[4]:
            merged[-1] = merged[-1][:3] + s[3:]
        else:
            merged.append(s)
    return merged


def reference(policy, cpus, tasks, end):
    """The same, tick by tick; also the first miss and the first tie."""
    left, running, slices, miss, tie = {}, {}, [], None, None
    for t in range(end):
        for number, (wcet, _, period, offset) in enumerate(tasks):
            if t >= offset and (t - offset) % period == 0:
                left[number, (t - offset) // period + 1] = wcet
        late = [j for j in left if t >= release(tasks, j) + tasks[j[0]][1]]
        if late and miss is None:
            miss = min(release(tasks, j) + tasks[j[0]][1] for j in late)
        # Of each task only its oldest job is ready.
        ready = [j for j in left if (j[0], j[1] - 1) not in left]

        def key(j):
            return (rank(policy, tasks[j[0]], release(tasks, j)), j not in running, j[0])

        ready.sort(key=key)
        ranks = [key(j)[0] for j in ready]
        if tie is None and len(set(ranks)) < len(ranks):
            tie = t
        chosen = ready[:cpus]
        running = {j: cpu for j, cpu in running.items() if j in chosen}
        for j in chosen:
            if j not in running:
                running[j] = min(set(range(cpus)) - set(running.values()))
        for j, cpu in list(running.items()):
            slices.append((j[0], j[1], t, t + 1, cpu))
            left[j] -= 1
            if left[j] == 0:
                del left[j], running[j]
    late = [release(tasks, j) + tasks[j[0]][1] for j in left if release(tasks, j) + tasks[j[0]][1] <= end]
    if late and miss is None:
        miss = min(late)
    return merge(slices), miss, tie


def release(tasks, job):
    number, count = job
    return tasks[number][3] + (count - 1) * tasks[number][2]


def random_set(rng, policy, cpus):
    """Periods that divide the end, utilisation from half to all of the CPUs, a third each with offsets and with deadlines
    before the period."""
    count = rng.randint(2, 6) if cpus == 1 else rng.randint(cpus + 1, 3 * cpus)
    goal = cpus * rng.uniform(0.5, 1.0)
    shares = [rng.random() for _ in range(count)]
    offsets, constrained = rng.random() < 1 / 3, rng.random() < 1 / 3
    tasks = []
    # With equal periods, rate-monotonic is not determined.
    periods = rng.sample(PERIODS, count) if policy == "rm" else [rng.choice(PERIODS) for _ in shares]
    for share, period in zip(shares, periods):
        wcet = min(period, max(1, round(share / sum(shares) * goal * period)))
        deadline = rng.randint(max(wcet, (wcet + period) // 2), period) if constrained else period
        tasks.append([wcet, deadline, period, rng.randint(0, period - 1) if offsets else 0])
    return tasks


def one(policy, cpus, tasks, end):
    slices = simulate(policy, cpus, tasks, end)
    expected, miss, tie = reference(policy, cpus, tasks, end)
    if slices != expected:
        difference = sorted(set(slices) ^ set(expected), key=lambda s: s[2])[:4]
        sys.exit("SimSo and the reference differ: %s" % json.dumps([policy, cpus, tasks, difference]))
    return {"policy": policy, "cpus": cpus, "tasks": tasks, "end": end, "miss": miss, "tie": tie, "slices": slices}


def sets(count, seed):
    kinds = [("edf", 1), ("rm", 1), ("global-edf", 2), ("global-edf", 4)]
    rng = random.Random(seed)
    for i in range(count):
        policy, cpus = kinds[i % len(kinds)]
        print(json.dumps(one(policy, cpus, random_set(rng, policy, cpus), END), separators=(",", ":")))


def speed():
    """Sets of some 10,000 jobs, feasible, and the seconds that SimSo needs for each, the best of three."""
    rng = random.Random(1)
    for policy, cpus, count in [("edf", 1, 10), ("global-edf", 2, 20), ("global-edf", 8, 80)]:
        periods = [rng.choice([20, 40, 50, 80, 100]) for _ in range(count)]
        tasks = [[max(1, int(0.8 * cpus / count * period)), period, period, 0] for period in periods]
        end = int(10000 / sum(1 / period for period in periods))
        seconds = []
        for _ in range(3):
            start = time.perf_counter()
            simulate(policy, cpus, tasks, end)
            seconds.append(time.perf_counter() - start)
        print(json.dumps({"policy": policy, "cpus": cpus, "tasks": tasks, "end": end, "seconds": min(seconds)}))


def main():
    arguments = sys.argv[1:]
    if len(arguments) == 3 and arguments[0] == "sets" and all(a.isdigit() for a in arguments[1:]):
        sets(int(arguments[1]), int(arguments[2]))
    elif arguments == ["speed"]:
        speed()
    else:
        sys.exit("usage: simso_oracle.py sets N SEED | simso_oracle.py speed")


if __name__ == "__main__":
    main()
