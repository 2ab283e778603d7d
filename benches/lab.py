#!/usr/bin/env python3
"""The engine inline, between a sender and a server in namespaces, against plain forwarding and against the smallest
loop that accepts everything. `make bench-lab` builds what this needs and runs it as root.

    ROUNDS=n  rounds (7)      SEED=n  order of the variants (1)      ONLY=a,b  workloads

Only ratios count, and only within a round: each round runs all variants of a workload once, in random order, on a
conntrack that has just been emptied. One variant runs twice a round; how far its ratio is from 1 is what noise does.
Nothing outside the three namespaces is touched. Everything measured runs with real-time priority, so that other
work on the machine disturbs little, and is disturbed: a run is a few minutes.
"""

import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RELEASE = ROOT / "target/release"
NETNS = ROOT / "tests/lab/netns.sh"
DOCUMENT = ROOT / "docs/performance.md"
PREFIX = f"reevebench{os.getpid()}"
SERVER = "10.77.2.2"
QUEUE = 4200
SCRIPTS = 20

# What each variant is, in words of the table.
VARIANTS = {
    "plain": "plain forwarding",
    "bare": "bare loop, all queued",
    "queued": "flowreeve, all queued, 20 scripts",
    "kept": "flowreeve as shipped, 20 scripts",
    "unscripted": "flowreeve as shipped, no scripts",
}
AGAIN = "-again"

# workload: unit, what it is, variants.
WORKLOADS = {
    "small-64": ("packets/s", "64-byte UDP, 64 flows", ["plain", "bare", "queued", "kept"]),
    "small-50k": (
        "packets/s",
        "64-byte UDP, 50,000 flows",
        ["plain", "bare", "queued", "kept", "bare" + AGAIN],
    ),
    "short": (
        "requests/s",
        "HTTP, 32 connections at once, one request each",
        ["plain", "bare", "queued", "kept", "unscripted", "plain" + AGAIN],
    ),
    "bulk-gso": (
        "Gbit/s",
        "one TCP stream, offloads on",
        ["plain", "bare", "queued", "kept", "plain" + AGAIN],
    ),
}

# workload, variant, what it is measured against, least ratio.
MARKS = [
    ("small-50k", "queued", "bare", 0.90),
    ("short", "kept", "plain", 0.90),
    ("bulk-gso", "kept", "plain", 0.97),
]

# Typical bodies of `protocolDetected`; script n takes the one at n modulo their number.
BODIES = [
    """local info = flow.getInfo()
    if info["srv.port"] == 23 and info["srv2cli.bytes"] > 1000000 then note(flow) end""",
    """local http = flow.getHTTPInfo()
    local url = http["protos.http.last_url"]
    if url and url:find("/wp%-login") then note(flow) end""",
    """if flow.isServerUnicast() and not flow.isLocal() then
      local dns = flow.getDNSInfo()
      if (dns["protos.dns.last_query"] or ""):len() > 200 then note(flow) end
    end""",
    """local tls = flow.getTLSInfo()
    local name = tls["protos.tls.client_requested_server_name"]
    if name and name:find("%.invalid$") then note(flow) end""",
    """if flow.isBlacklisted() or flow.getServerPort() == 4444 then note(flow) end""",
]


def inside(place, *command):
    return ["ip", "netns", "exec", f"{PREFIX}-{place}", *command]


def on(cores, *command):
    """With real-time priority, on these cores."""
    return ["taskset", "-c", cores, "chrt", "-r", "10", *command]


def run(command, seconds=20, check=True, **more):
    try:
        done = subprocess.run(command, timeout=seconds, capture_output=True, text=True, **more)
    except subprocess.TimeoutExpired:
        sys.exit(f"{' '.join(map(str, command))}: not done after {seconds} s")
    if check and done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: {done.stderr.strip() or done.stdout.strip()}")
    return done


def wait_until(what, true, seconds=10):
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            sys.exit(f"{what}: not after {seconds} s")
        time.sleep(0.02)


class Lab:
    """Client, router, server; the two things served; what the engine is started with."""

    def __init__(self, folder):
        self.folder = folder
        self.children = []
        self.engine = None

    def up(self):
        run([NETNS, "up", "--prefix", PREFIX, "--mode", "plain"])
        self.serve()
        self.write_scripts()
        self.write_config()

    def down(self):
        self.stop_engine()
        for child in self.children:
            child.terminate()
            try:
                child.wait(3)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        run([NETNS, "down", "--prefix", PREFIX], check=False)

    def start(self, name, command):
        with open(self.folder / f"{name}.log", "ab") as log:
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.children.append(child)
        return child

    def serve(self):
        page = self.folder / "www"
        page.mkdir()
        (page / "index.html").write_text("x" * 600 + "\n")
        temporary = "".join(
            f"{kind}_temp_path {self.folder}/{kind};\n"
            for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        )
        (self.folder / "nginx.conf").write_text(
            f"user root; daemon off; worker_processes 1; pid {self.folder}/nginx.pid;\n"
            "events { worker_connections 1024; }\n"
            f"http {{ access_log off; {temporary}\n"
            f"server {{ listen {SERVER}:80 backlog=4096; root {page}; }} }}\n"
        )
        log = self.folder / "nginx-errors.log"
        nginx = ["nginx", "-p", self.folder, "-e", log, "-c", self.folder / "nginx.conf"]
        self.start("nginx", inside("server", *on(BOTH), *nginx))
        self.server = self.start("iperf3", inside("server", *on(BOTH), "iperf3", "-s"))
        for port in ["80", "5201"]:
            listening = inside("server", "ss", "-Hltn", f"sport = :{port}")
            wait_until(f"server on port {port}", lambda: run(listening).stdout)

    def write_scripts(self):
        for number in range(SCRIPTS):
            plugin = self.folder / f"plugins/bench/bench_{number}"
            (plugin / "user_scripts/flow").mkdir(parents=True)
            (plugin / "manifest.lua").write_text(
                f'return {{ title = "bench {number}", description = "bench", author = "bench" }}\n'
            )
            body = BODIES[number % len(BODIES)]
            (plugin / f"user_scripts/flow/bench_{number}.lua").write_text(
                "local seen = 0\nlocal function note() seen = seen + 1 end\n"
                "local script = { hooks = {} }\n"
                f"function script.hooks.protocolDetected(now, conf)\n    {body}\nend\n"
                "return script\n"
            )

    def write_config(self):
        self.config = self.folder / "flowreeve.conf"
        self.unscripted = self.folder / "unscripted.conf"
        for config, plugins in [(self.config, "plugins"), (self.unscripted, "no-plugins")]:
            config.write_text(
                "config main\n\toption enabled '1'\n\toption mode 'enforce'\n\tlist device 'r0'\n"
                f"\toption queues '1'\n\toption queue_base '{QUEUE}'\n"
                f"\tlist plugins '{self.folder}/{plugins}'\n"
                f"\toption scripts_file '{self.folder}/scripts.json'\n"
            )
        flowreeve = RELEASE / "flowreeve"
        whole = run([flowreeve, "render-nft", "--config", self.config]).stdout
        # Not every kernel has nft's queue statement; iptables' NFQUEUE does the same.
        loads = run(inside("router", "nft", "-c", "-f", "-"), check=False, input=whole)
        self.table = whole if loads.returncode == 0 else None
        if self.table is None:
            render = [flowreeve, "render-nft", "--no-queue", "--config", self.config]
            self.table_without_queue = run(render).stdout

    def rules(self, mode, **more):
        run([NETNS, "rules", "--prefix", PREFIX, "--mode", mode, "--queue", str(QUEUE)], **more)

    def arrange(self, variant):
        """Rules and engine of a variant, connections forgotten."""
        self.stop_engine()
        run([NETNS, "forget", "--prefix", PREFIX])
        if variant == "plain":
            self.rules("plain")
            return
        kept = variant in ("kept", "unscripted")
        if kept and self.table is not None:
            self.rules("plain")
            run(inside("router", "nft", "-f", "-"), input=self.table)
        elif kept:
            self.rules("ours", input=self.table_without_queue)
        else:
            self.rules("queue")
        if variant == "bare":
            command = [RELEASE / "examples/bare_loop", str(QUEUE)]
        else:
            config = self.unscripted if variant == "unscripted" else self.config
            command = [RELEASE / "flowreeve", "run", "--config", config]
        log = open(self.folder / "engine.log", "ab")
        self.engine = subprocess.Popen(
            inside("router", *on(BOTH), *command), stdout=log, stderr=log
        )
        log.close()
        wait_until(f"{variant} bound to its queue", lambda: self.queue() is not None)

    def stop_engine(self):
        if self.engine is None:
            return
        self.engine.terminate()
        try:
            self.engine.wait(5)
        except subprocess.TimeoutExpired:
            self.engine.kill()
            self.engine.wait()
        self.engine = None

    def queue(self):
        """Packets the queue lost, by length and by buffer; None if nobody is bound."""
        if self.engine is None or self.engine.poll() is not None:
            return None
        lines = self.of(self.engine, "netfilter/nfnetlink_queue").splitlines()
        columns = [line.split() for line in lines]
        return next((int(c[5]) + int(c[6]) for c in columns if int(c[0]) == QUEUE), None)

    def of(self, child, file):
        """A file of /proc/net, as seen from where `child` runs."""
        return Path(f"/proc/{child.pid}/net/{file}").read_text()

    def received(self):
        """Packets the server's interface has received."""
        line = next(line for line in self.of(self.server, "dev").splitlines() if "s0:" in line)
        return int(line.split(":")[1].split()[1])

    def engine_memory(self):
        """Resident memory of the engine, kB."""
        if self.engine is None:
            return None
        text = Path(f"/proc/{self.engine.pid}/smaps_rollup").read_text()
        return int(re.search(r"^Rss:\s+(\d+)", text, re.M).group(1))

    def engine_seconds(self):
        """CPU time of all its threads."""
        if self.engine is None:
            return 0.0
        tasks = Path(f"/proc/{self.engine.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


# Cores. Whoever sends a flood keeps to one; else the scheduler does best with all on both.
FLOODING, BOTH = "0", "0,1"


def small(lab, flows):
    """Packets a second at the server's interface, while the sender sends; losses: sent and not come."""
    before = lab.received()
    sender = subprocess.Popen(
        inside("client", *on(FLOODING), RELEASE / "examples/blast", SERVER, str(flows), "1.2"),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until("packets at the server", lambda: lab.received() > before + 1000)
        time.sleep(0.1)
        first, at = lab.received(), time.monotonic()
        time.sleep(0.9)
        last, until = lab.received(), time.monotonic()
        sent = int(sender.communicate(timeout=10)[0])
    finally:
        sender.kill()
        sender.wait()
    time.sleep(0.2)
    came = lab.received() - before
    return (last - first) / (until - at), max(0, sent - came), sent


def short(lab):
    command = ["wrk", "-t1", "-c32", "-d1s", "--timeout", "2s", "-H", "Connection: close"]
    output = run(inside("client", *on(BOTH), *command, f"http://{SERVER}/")).stdout
    requests = int(re.search(r"(\d+) requests in", output).group(1))
    errors = re.search(r"Socket errors: (.*)|Non-2xx.*: (\d+)", output)
    failed = sum(map(int, re.findall(r"\d+", errors.group(0)[8:]))) if errors else 0
    return float(re.search(r"Requests/sec:\s+([\d.]+)", output).group(1)), failed, requests


def bulk(lab):
    command = ["iperf3", "-c", SERVER, "-t", "1", "-O", "1", "-J"]
    report = json.loads(run(inside("client", *on(BOTH), *command)).stdout)["end"]
    received, sent = report["sum_received"], report["sum_sent"]
    return received["bits_per_second"] / 1e9, sent["retransmits"], sent["bytes"] // 1460


MEASURES = {
    "small-64": lambda lab: small(lab, 64),
    "small-50k": lambda lab: small(lab, 50_000),
    "short": short,
    "bulk-gso": bulk,
}


def measure(lab, workload, variant):
    """One run: figure, losses, resident kB, engine's CPU a thing sent in microseconds."""
    lab.arrange(variant.removesuffix(AGAIN))
    time.sleep(0.05)
    lost, spent = lab.queue() or 0, lab.engine_seconds()
    figure, missing, sent = MEASURES[workload](lab)
    spent = lab.engine_seconds() - spent
    if lab.engine is not None and lab.queue() is None:
        sys.exit(f"{variant} ended during {workload}: {(lab.folder / 'engine.log').read_text()[-500:]}")
    unseen = (lab.queue() or 0) - lost
    return {
        "figure": figure,
        "missing": missing / max(sent, 1),
        "unseen": unseen,
        "memory": lab.engine_memory(),
        "cpu": spent / max(sent, 1) * 1e6,
    }


def quartiles(values):
    if len(values) == 1:
        return values * 3
    return statistics.quantiles(values, n=4, method="inclusive")


def ratios(results, workload, variant, against):
    pairs = zip(results[workload][variant], results[workload][against])
    return quartiles([mine["figure"] / other["figure"] for mine, other in pairs])


def ratio_text(results, workload, variant, against):
    if against not in results[workload] or variant == against:
        return ""
    low, middle, high = ratios(results, workload, variant, against)
    return f"{middle:.2f} ({low:.2f}–{high:.2f})"


def row(*cells):
    return f"| {' | '.join(cells)} |"


def table(results):
    """The results, as tables for people."""
    lines = []
    for workload, variants in results.items():
        unit, what, _ = WORKLOADS[workload]
        lines += ["", f"`{workload}`: {what}", ""]
        lines.append(
            row("variant", unit, "to plain", "to bare loop", "engine CPU µs", "RSS MB", "lost", "unseen")
        )
        lines.append(row(*["---"] * 8))
        for variant, runs in variants.items():

            def middle(name):
                return statistics.median(r[name] for r in runs)

            figure = middle("figure")
            engine = runs[0]["memory"] is not None
            name = VARIANTS[variant.removesuffix(AGAIN)]
            lines.append(
                row(
                    name + (", again" if variant.endswith(AGAIN) else ""),
                    f"{figure:,.1f}" if figure < 1000 else f"{figure:,.0f}",
                    ratio_text(results, workload, variant, "plain"),
                    ratio_text(results, workload, variant, "bare"),
                    f"{middle('cpu'):.2f}" if engine else "",
                    f"{middle('memory') / 1024:.1f}" if engine else "",
                    f"{middle('missing'):.2%}",
                    f"{middle('unseen'):,.0f}" if engine else "",
                )
            )
    return "\n".join(lines)


def marks(results):
    """Each mark with what came of it, and whether all were reached."""
    lines, all_reached = [row("mark", "wanted", "median", "reached"), row(*["---"] * 4)], True
    for workload, variant, against, least in MARKS:
        if workload not in results:
            continue
        middle = ratios(results, workload, variant, against)[1]
        reached = round(middle, 2) >= least
        all_reached &= reached
        what = f"`{workload}`: {VARIANTS[variant]}, to {VARIANTS[against]}"
        lines.append(row(what, f"≥ {least:.2f}", f"{middle:.2f}", "yes" if reached else "**no**"))
    return "\n".join(lines), all_reached


def machine():
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    commit = run(["git", "-C", ROOT, "rev-parse", "--short=10", "HEAD"], check=False).stdout.strip()
    changed = run(["git", "-C", ROOT, "status", "--porcelain", "-uno"], check=False).stdout.strip()
    name = model.group(1) if model else os.uname().machine
    return (
        f"{os.cpu_count()} cores ({name}), Linux {os.uname().release.split('-')[0]}, "
        f"commit {commit or 'unknown'}{' with changes' if changed else ''}"
    )


def lacks():
    if os.geteuid() != 0:
        return "root"
    tools = ["ip", "iptables", "nft", "conntrack", "wrk", "nginx", "iperf3", "chrt", "taskset"]
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if os.cpu_count() < 2:
        missing.append("a second core")
    return ", ".join(missing)


def document(text):
    """Puts `text` between the two lines that stand around it there."""
    before, _, rest = DOCUMENT.read_text().partition("<!-- bench-lab -->\n")
    _, end, after = rest.partition("<!-- end of bench-lab -->\n")
    if end:
        DOCUMENT.write_text(f"{before}<!-- bench-lab -->\n{text}\n{end}{after}")


def main():
    if missing := lacks():
        sys.exit(f"bench-lab cannot run here, it wants: {missing}")
    rounds, seed = int(os.environ.get("ROUNDS", 7)), int(os.environ.get("SEED", 1))
    chosen = os.environ.get("ONLY", ",".join(WORKLOADS)).split(",")
    results = {name: {v: [] for v in WORKLOADS[name][2]} for name in chosen}
    order = random.Random(seed)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="flowreeve-bench.") as folder:
        lab = Lab(Path(folder))
        try:
            # The driver reads the counters, so it must get its turn.
            os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(20))
            lab.up()
            for number in range(rounds):
                for workload in chosen:
                    variants = list(results[workload])
                    order.shuffle(variants)
                    for variant in variants:
                        results[workload][variant].append(measure(lab, workload, variant))
                print(f"round {number + 1} of {rounds}, {time.monotonic() - began:.0f} s", flush=True)
        finally:
            lab.down()
    marked, reached = marks(results)
    text = (
        f"{machine()}; {rounds} rounds, seed {seed}. Medians; in brackets the quartiles of the ratio "
        f"within a round.\n\n{marked}\n{table(results)}"
    )
    print(text)
    if set(chosen) == set(WORKLOADS):
        document(text)
    sys.exit(0 if reached else 1)


if __name__ == "__main__":
    main()
