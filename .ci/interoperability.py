#!/usr/bin/env python3
"""The interoperability test: the integrator's example root, run by the agent as it is, with programs nobody here wrote.

Needs paho-mqtt in the `python3` that PATH finds; everything else is the standard library. Prints one line for each check
and, last, `N passed, M failed`; exit code 0 only where nothing failed.
"""
import argparse
import contextlib
import http.client
import json
import os
import pathlib
import pwd
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import traceback

import paho.mqtt.client as mqtt

# Nothing here takes long; this only bounds the harm of something that never comes.
PATIENCE = 60.0
# The agent promises to be gone this long after SIGTERM.
STOP_LIMIT = 10.0

# Programs as integrators write them, told by their arguments what to do; each becomes `Jobs/bin/NAME/NAME`.
PROGRAMS = pathlib.Path(__file__).parent / "programs"


def until(what, condition):
    """The first true value of a condition that nothing can be awaited for; fails loudly after PATIENCE."""
    deadline = time.monotonic() + PATIENCE
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE:.0f} s"
        time.sleep(0.05)


def is_alive(pid):
    """Whether a process lives; a zombie does not."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


class LeftOut(Exception):
    """A check that this machine cannot make, and what it lacks."""


class Agent:
    """The agent under test on a root of its own."""

    def __init__(self, binary, root):
        self.binary, self.root, self.process, self.ports = binary, root, None, None

    def start(self):
        with open(self.root / "stderr.txt", "ab") as stderr:
            self.process = subprocess.Popen([self.binary, "run", "--root", self.root], stdin=subprocess.DEVNULL,
                                            stdout=stderr, stderr=stderr)
        self.ports = until("state/ports.json", self.ready)

    def ready(self):
        assert self.process.poll() is None, f"the agent exited with {self.process.returncode}:\n{self.said()}"
        with contextlib.suppress(FileNotFoundError):
            ports = json.loads((self.root / "state/ports.json").read_text())
            return ports if ports["pid"] == self.process.pid else None
        return None

    def said(self):
        return (self.root / "stderr.txt").read_text(errors="replace")[-4000:]

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE)

    def call(self, method, path, body=None, certificate=True):
        """Status and decoded body."""
        state = self.root / "state"
        tls = ssl.create_default_context(cafile=state / "ca.pem")
        if certificate:
            tls.load_cert_chain(state / "admin/client.pem", state / "admin/client.key")
        connection = http.client.HTTPSConnection("127.0.0.1", self.ports["https"], context=tls, timeout=PATIENCE)
        with contextlib.closing(connection):
            text = None if body is None else json.dumps(body)
            fields = {} if body is None else {"Content-Type": "application/json"}
            connection.request(method, path, text, fields)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")

    def get(self, path):
        status, body = self.call("GET", path)
        assert status == 200, f"GET {path}: {status} {body}"
        return body

    def run(self, job, context=None):
        """Triggers a job and returns its finished run."""
        status, run = self.call("POST", f"/api/Jobs/{job}/trigger?wait=true&timeoutSeconds=50", context)
        assert status == 200, f"trigger of {job}: {status} {run}"
        return run

    def begin(self, job):
        """Triggers a job and returns its run once its task's process lives."""
        status, run = self.call("POST", f"/api/Jobs/{job}/trigger")
        assert status == 202, f"trigger of {job}: {status} {run}"
        return until(f"a process of {job}", lambda: self.with_process(run["runId"]))

    def with_process(self, run_id):
        run = self.get(f"/api/runs/{run_id}")
        assert run["status"] == "running", run
        return run if run["tasks"] and run["tasks"][-1]["pid"] else None

    def install(self, name, folder="Jobs/bin"):
        program = self.root / folder / name / name
        program.parent.mkdir(parents=True)
        shutil.copyfile(PROGRAMS / name, program)
        program.chmod(0o755)

    def log(self):
        lines = (self.root / "state/logs/agent.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def plugin(self, health="Healthy"):
        def look():
            plugin = self.get("/api/plugins/EchoBridge")
            return plugin if plugin["health"] == health else None
        return until(f"EchoBridge {health}", look)


def is_program(command, *arguments):
    return {"id": "only", "command": command, "arguments": " ".join(arguments), "timeoutSeconds": 120,
            "mergeStdoutJsonIntoContext": command == "Prober"}


def probe_job(job, *arguments):
    return {"id": job, "mqttTopics": {
                "allowedPublications": ["KeeperLogger", f"Jobs/{job}/events", "EchoBridge/Commands/ping", "EchoBridge/Commands/crash"],
                "allowedSubscriptions": ["EchoBridge/Responses/+"]},
            "tasks": [is_program("Prober", "--keeper-api-base={KeeperApiBaseUrl}", *arguments)]}


def topic_job(job, program, *arguments):
    """A job that has a topic tree of its own."""
    task = {**is_program(program, *arguments), "mergeStdoutJsonIntoContext": program != "Mosquitto"}
    topics = {"allowedPublications": [f"{job}/#"], "allowedSubscriptions": [f"{job}/#"]}
    return {"id": job, "mqttTopics": topics, "tasks": [task]}


POLICY_ASKER = {
    "id": "PolicyAsker", "name": "Policy Asker", "description": "Asks KeeperPolicy.", "version": "1.0.0",
    "pluginType": "Executable", "executablePath": "bin/PolicyAsker/PolicyAsker",
    "arguments": "--keeper-api-base={KeeperApiBaseUrl} --ca \"{rootdir}/ca.pem\"", "supportedPlatforms": ["Linux"],
    "Subscription": {"Topic": "PolicyAsker", "Qos": 1, "CleanSession": True},
    "metadata": {"mqttTopics": {"publish": ["KeeperPolicy", "KeeperLogger"],
                                "subscribe": ["KeeperPolicy/PolicyAsker", "PolicyAsker/Commands/ask"]}},
    "autoStart": True, "executionContext": "Service", "requiresMonitoring": True, "autoRestart": True}


class Story:
    """The checks, in order; each is a sentence that must be true."""

    def __init__(self, agent, folder, mqtt_js):
        self.agent, self.folder, self.mqtt_js = agent, folder, mqtt_js

    def the_startup_run_of_the_scanner_succeeds(self):
        def finished():
            runs = self.agent.get("/api/Jobs/secrets-scanner/runs")
            return next((run for run in runs if run["trigger"] == "event Startup" and run["status"] != "running"), None)
        run = until("the run that Startup triggered", finished)
        assert run["status"] == "Succeeded", run
        scanner, report = run["tasks"]
        assert scanner["exitCode"] == 0 and run["context"]["filesRead"] > 0, run
        assert report["outcome"] == ("Succeeded" if run["context"]["findings"] > 0 else "Skipped"), run

    def a_triggered_run_merges_values_and_routes_by_them(self):
        (self.folder / "leak.txt").write_text("password = hunter2hunter2\n")
        (self.folder / "clean.txt").write_text("nothing to see\n")
        run = self.agent.run("secrets-scanner", {"ScanPath": str(self.folder)})
        assert run["status"] == "Succeeded", run
        assert (run["context"]["filesRead"], run["context"]["findings"]) == (2, 1), run
        assert run["tasks"][1]["stdout"] == "2 files read, 1 findings\n", run
        (self.folder / "leak.txt").unlink()
        run = self.agent.run("secrets-scanner", {"ScanPath": str(self.folder)})
        assert (run["status"], run["tasks"][1]["outcome"]) == ("Succeeded", "Skipped"), run

    def log_messages_stand_in_the_log_with_what_the_agent_knows(self):
        # A link to nowhere cannot be read by anybody, so the scanner warns.
        (self.folder / "gone.txt").symlink_to("nowhere")
        run = self.agent.run("secrets-scanner", {"ScanPath": str(self.folder)})
        pid = run["tasks"][0]["pid"]

        def from_scanner():
            lines = [line for line in self.agent.log() if line["pid"] == pid and line["source"] == "SecretScanner"]
            return lines if len(lines) == 2 else None
        lines = until("the scanner's two log lines", from_scanner)
        assert [(line["level"], line["message"]) for line in lines] == [
            ("Information", "Secrets Scanner: 1 files read, 0 findings."), ("Warning", "1 files could not be read.")], lines
        for line in lines:
            assert line["component"] == "job:secrets-scanner", line
            assert line["clientId"] == f"secrets-scanner_SecretScanner_{pid}", line
            assert line["category"] == "SecretsScan" and line["timestamp"].endswith("Z"), line

    def the_plugin_is_healthy_and_greets(self):
        pid = self.agent.plugin()["processId"]
        until("the plugin's greeting", lambda: [line for line in self.agent.log() if line["component"] == "plugin:EchoBridge"
                                                and line["message"] == f"hello from pid {pid}"])

    def a_job_without_its_binary_is_refused_and_not_written(self):
        status, body = self.agent.call("POST", "/api/Jobs", probe_job("probe-ping"))
        assert status == 400 and body["findings"][0]["code"] == "binary-not-found", (status, body)
        assert not (self.agent.root / "Jobs/probe-ping.json").exists()

    def a_posted_job_asks_the_plugin_and_hears_its_answer(self):
        self.agent.install("Prober")
        job = probe_job("probe-ping", "--publish=EchoBridge/Commands/ping", "--expect=EchoBridge/Responses/ping")
        status, body = self.agent.call("POST", "/api/Jobs", job)
        assert status == 201, (status, body)
        assert json.loads((self.agent.root / "Jobs/probe-ping.json").read_text()) == job
        run = self.agent.run("probe-ping")
        assert run["status"] == "Succeeded", run
        assert run["context"]["got"] == [["EchoBridge/Responses/ping", "hello on EchoBridge/Commands/ping"]], run

    def an_undeclared_publish_reaches_nobody_and_is_explained(self):
        job = probe_job("probe-denied", "--publish=EchoBridge/Responses/forged", "--publish=EchoBridge/Commands/ping",
                        "--expect=EchoBridge/Responses/ping")
        status, body = self.agent.call("POST", "/api/Jobs", job)
        assert status == 201, (status, body)
        run = self.agent.run("probe-denied")
        assert run["status"] == "Succeeded", run
        assert [topic for topic, _ in run["context"]["got"]] == ["EchoBridge/Responses/ping"], run
        denials = [denial for denial in self.agent.get("/api/denials") if denial["target"] == "EchoBridge/Responses/forged"]
        assert len(denials) == 1 and denials[0]["action"] == "publish", denials
        assert denials[0]["component"] == "job:probe-denied" and denials[0]["pid"] == run["tasks"][0]["pid"], denials
        assert denials[0]["declaration"] == {"file": "Jobs/probe-denied.json", "pointer": "/mqttTopics/allowedPublications/-",
                                             "value": "EchoBridge/Responses/forged"}, denials

    def a_session_goes_on_after_a_lost_connection_in_both_versions(self):
        self.agent.install("Returner")
        status, body = self.agent.call("POST", "/api/Jobs", topic_job("returner", "Returner", "--keeper-api-base={KeeperApiBaseUrl}"))
        assert status == 201, (status, body)
        run = self.agent.run("returner")
        assert run["status"] == "Succeeded", run
        exactly_once = ["one", "two", "three"]
        assert run["context"]["got"] == {"3.1.1": exactly_once, "5.0": exactly_once}, run

    def mosquittos_own_clients_work_in_both_versions(self):
        if not (shutil.which("mosquitto_pub") and shutil.which("mosquitto_sub")):
            raise LeftOut("there is no mosquitto_pub or mosquitto_sub; install mosquitto-clients.")
        self.agent.install("Mosquitto")
        arguments = (str(self.agent.ports["mqtt"]), str(self.agent.root / "state/ca.pem"))
        status, body = self.agent.call("POST", "/api/Jobs", topic_job("mosquitto", "Mosquitto", *arguments))
        assert status == 201, (status, body)
        run = self.agent.run("mosquitto")
        assert run["status"] == "Succeeded", run
        assert run["tasks"][0]["stdout"].split() == ["over", "mqttv311", "over", "mqttv5"], run

    def mqtt_js_works_in_both_versions(self):
        if not (self.mqtt_js and shutil.which("node")):
            raise LeftOut("there is no Node.js or no MQTT.js; install nodejs and npm, and run .ci/run.")
        self.agent.install("NodeClient")
        arguments = (str(self.agent.ports["mqtt"]), str(self.agent.root / "state/ca.pem"), str(self.mqtt_js))
        status, body = self.agent.call("POST", "/api/Jobs", topic_job("mqttjs", "NodeClient", *arguments))
        assert status == 201, (status, body)
        run = self.agent.run("mqttjs")
        assert run["status"] == "Succeeded", run
        assert run["context"]["got"] == {"3.1.1": ["one", "two", "three"], "5.0": ["one", "two named", "three"]}, run

    def a_plugin_asks_keeper_policy_and_gets_each_kind_of_answer(self):
        agent = Agent(self.agent.binary, self.agent.root.with_name("asking"))
        agent.root.mkdir()
        shutil.copy(self.agent.root / "appsettings.json", agent.root)
        installed = subprocess.run([agent.binary, "init", "--root", agent.root], capture_output=True, text=True, timeout=PATIENCE)
        assert installed.returncode == 0, installed
        agent.install("PolicyAsker", "Plugins/bin")
        job = {"id": "asks", "parameters": [{"name": "Question", "type": "string", "required": True}],
               "mqttTopics": {"allowedPublications": ["PolicyAsker/Commands/ask"], "allowedSubscriptions": []},
               "tasks": [{"id": "ask", "command": "publish-mqtt",
                          "arguments": "--topic PolicyAsker/Commands/ask --payload {Question}"}]}
        for name, definition in (("Jobs/asks", job), ("Plugins/PolicyAsker", POLICY_ASKER)):
            (agent.root / f"{name}.json").write_text(json.dumps(definition))
        with contextlib.closing(agent):
            agent.start()
            self._asks(agent)

    def _asks(self, agent):
        user = pwd.getpwuid(os.getuid()).pw_name

        def said():
            return [line["message"] for line in agent.log() if line["component"] == "plugin:PolicyAsker"
                    and line["category"] == "Policy"]
        until("the plugin's subscriptions", lambda: "ready" in said())
        until("KeeperPolicy", lambda: agent.get("/api/plugins/KeeperPolicy")["health"] == "Healthy")

        def ask():
            before = len(said())
            question = json.dumps({"UserName": user, "Words": ["/usr/bin/id", "-u"]})
            run = agent.run("asks", {"Question": question})
            assert run["status"] == "Succeeded", run
            return json.loads(until("an answer of KeeperPolicy", lambda: said()[before:])[0])

        def policy(*controls):
            document = {"PolicyId": "asked", "PolicyType": "PrivilegeElevation", "Status": "enforce", "Controls": controls,
                        "Rules": [{"Expression": "CheckUser()"}, {"Expression": "CheckFile(false)"}],
                        "UserCheck": [user], "ApplicationCheck": ["/usr/bin/id"]}
            (agent.root / "Policies").mkdir(exist_ok=True)
            (agent.root / "Policies/asked.json").write_text(json.dumps(document))
        answer = ask()
        assert answer["Decision"] == "DENY" and answer["PolicyIds"] == [], answer
        assert "There is no policy about it" in answer["Explanation"]["Why"] and answer["Explanation"]["Fix"], answer
        policy("ALLOW")
        answer = ask()
        assert (answer["Decision"], answer["Controls"], answer["PolicyIds"]) == ("ALLOW", [], ["asked"]), answer
        policy("JUSTIFY", "MFA")
        answer = ask()
        assert (answer["Decision"], answer["Controls"]) == ("PENDING", ["MFA", "JUSTIFY"]), answer
        assert answer["Explanation"]["Nearest"]["PolicyId"] == "asked", answer

    def a_plugin_that_crashes_is_started_again(self):
        before = self.agent.plugin()
        status, body = self.agent.call("POST", "/api/Jobs", probe_job("probe-crash", "--publish=EchoBridge/Commands/crash"))
        assert status == 201, (status, body)
        assert self.agent.run("probe-crash")["status"] == "Succeeded"

        def another():
            plugin = self.agent.get("/api/plugins/EchoBridge")
            return plugin if plugin["health"] == "Healthy" and plugin["processId"] != before["processId"] else None
        after = until("another process of EchoBridge", another)
        assert after["restarts"] == before["restarts"] + 1, (before, after)
        assert not is_alive(before["processId"])
        assert self.agent.run("probe-ping")["status"] == "Succeeded"

    def the_same_program_started_by_hand_is_refused(self):
        scanner = self.agent.root / "Jobs/bin/SecretScanner/SecretScanner"
        base = f"https://127.0.0.1:{self.agent.ports['https']}"
        environment = {**os.environ, "KEEPER_JOB_ID": "secrets-scanner", "KEEPER_JOB_NAME": "Secrets Scanner"}
        result = subprocess.run([scanner, "--keeper-api-base", base, "--scan", self.folder], env=environment,
                                capture_output=True, text=True, timeout=PATIENCE)
        assert result.returncode != 0 and "HTTP Error 403" in result.stderr, result

    def a_client_started_by_hand_is_not_let_in(self):
        for protocol, code in ((mqtt.MQTTv5, 0x87), (mqtt.MQTTv311, 0x87)):
            client_id = f"secrets-scanner_SecretScanner_{os.getpid()}"
            client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=protocol)
            tls = ssl.create_default_context()
            tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
            client.tls_set_context(tls)
            answered, reasons = threading.Event(), []

            def on_connect(_c, _u, _f, reason, _p):
                reasons.append(reason.value)
                answered.set()
            client.on_connect = on_connect
            client.connect("127.0.0.1", self.agent.ports["mqtt"], keepalive=30)
            client.loop_start()
            came = answered.wait(PATIENCE)
            client.disconnect()
            client.loop_stop()
            # paho tells the code 5 of MQTT 3.1.1 by its name in MQTT 5.0.
            assert came and reasons[0] == code, reasons
        denials = [denial for denial in self.agent.get("/api/denials") if denial["action"] == "connect"]
        assert denials and denials[0]["pid"] == os.getpid(), denials

    def without_the_certificate_the_api_is_closed(self):
        for method, path in (("GET", "/api/Jobs"), ("POST", "/api/Jobs/secrets-scanner/trigger"), ("GET", "/api/denials")):
            status, body = self.agent.call(method, path, certificate=False)
            assert status == 403 and body["tierHeld"] == "Public", (method, path, status, body)
        assert self.agent.call("GET", "/health", certificate=False)[0] == 200

    def sigterm_ends_everything_in_time(self):
        status, body = self.agent.call("POST", "/api/Jobs", {"id": "sleeper", "tasks": [is_program("sleep", "300")]})
        assert status == 201, (status, body)
        run = self.agent.begin("sleeper")
        pids = [run["tasks"][-1]["pid"], self.agent.plugin()["processId"]]
        self.agent.process.send_signal(signal.SIGTERM)
        assert self.agent.process.wait(STOP_LIMIT) == 0, self.agent.said()
        assert not any(map(is_alive, pids)), pids
        assert not (self.agent.root / "state/ports.json").exists()
        self.agent.start()
        assert self.agent.get(f"/api/runs/{run['runId']}")["status"] == "Canceled"

    def sigkill_leaves_a_lost_run_and_nothing_else(self):
        run = self.agent.begin("sleeper")
        pids = [run["tasks"][-1]["pid"], self.agent.plugin()["processId"]]
        self.agent.process.kill()
        self.agent.process.wait(PATIENCE)
        self.agent.start()
        assert not any(map(is_alive, pids)), pids
        lost = self.agent.get(f"/api/runs/{run['runId']}")
        assert lost["status"] == "Lost" and lost["finishedAt"], lost
        self.agent.plugin()
        assert self.agent.run("probe-ping")["status"] == "Succeeded"
        assert self.agent.run("secrets-scanner", {"ScanPath": str(self.folder)})["status"] == "Succeeded"


def writable_copy(source, target):
    """The example as its integrator deploys it; only the right to change it is added, for the agent's own user."""
    shutil.copytree(source, target)
    for path in [target, *target.rglob("*")]:
        path.chmod((path.stat().st_mode | 0o200) & 0o755)


def arguments(description):
    """What every story is told on the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--agent", required=True, type=pathlib.Path, help="the binary under test")
    parser.add_argument("--example", required=True, type=pathlib.Path, help="the integrator's agent root")
    return parser


def tell(args, story_of):
    """Tells a story, check by check, on an agent with a copy of the example; the exit code."""
    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix="castellan-story-") as folder:
        folder = pathlib.Path(folder).resolve()
        root, scanned = folder / "root", folder / "scanned"
        writable_copy(args.example, root)
        scanned.mkdir()
        settings = {"Settings": {"KestrelHttpPort": 0, "KestrelHttpsPort": 0}, "MqttBrokerSettings": {"Port": 0}}
        (root / "appsettings.json").write_text(json.dumps(settings))
        agent = Agent(args.agent.resolve(), root)
        try:
            agent.start()
            story = story_of(agent, scanned)
            for name in [name for name in vars(type(story)) if not name.startswith("_")]:
                began = time.monotonic()
                try:
                    getattr(story, name)()
                except LeftOut as why:
                    print(f"LEFT OUT {name.replace('_', ' ')}: {why}", flush=True)
                except Exception:
                    failed += 1
                    traceback.print_exc(file=sys.stdout)
                    print(f"FAILED {name.replace('_', ' ')}", flush=True)
                else:
                    passed += 1
                    print(f"ok     {name.replace('_', ' ')} ({time.monotonic() - began:.1f} s)", flush=True)
            if failed:
                print(f"--- the agent's last log lines\n{json.dumps(agent.log()[-40:], indent=1)}")
        finally:
            agent.close()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


def main():
    args = arguments(__doc__)
    args.add_argument("--mqtt-js", type=pathlib.Path, help="where npm has installed MQTT.js; without it its story is left out")
    args = args.parse_args()
    return tell(args, lambda agent, scanned: Story(agent, scanned, args.mqtt_js and args.mqtt_js.resolve()))


if __name__ == "__main__":
    sys.exit(main())
