#!/usr/bin/env python3
"""The API by its own description: curl with mutual TLS, Prometheus' own parser, and schemathesis with and without the certificate.

Needs curl on the PATH, and prometheus-client and schemathesis in the Python that runs this. Prints one line for each check and,
last, `N passed, M failed`; exit code 0 only where nothing failed.
"""
import json
import pathlib
import subprocess
import sys

from prometheus_client.parser import text_string_to_metric_families

from interoperability import arguments, tell

# Seconds that one run of the tester may take, and after which it is taken to hang: enough for every operation on a slow machine.
BUDGET, HANGS = 25, 120


class Story:
    """The checks, in order; each is a sentence that must be true."""

    def __init__(self, agent, folder):
        self.agent, self.folder = agent, folder
        self.base = f"https://127.0.0.1:{agent.ports['https']}"
        self.ca = agent.root / "state/ca.pem"
        admin = agent.root / "state/admin"
        self.certificate = ["--cert", admin / "client.pem", "--key", admin / "client.key"]

    def _curl(self, path, *arguments):
        """Status, content type and body."""
        command = ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", "30", "--cacert", self.ca, *arguments,
                   "--write-out", "\n%{http_code} %{content_type}", self.base + path]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        body, _, last = text.rpartition("\n")
        status, _, media_type = last.partition(" ")
        return int(status), media_type, body

    def _schemathesis(self, *arguments):
        command = [pathlib.Path(sys.executable).with_name("schemathesis"),
                   "--config-file", pathlib.Path(__file__).with_name("schemathesis.toml"),
                   "run", f"{self.base}/openapi.json", "--tls-verify", self.ca, "--phases", "coverage,fuzzing",
                   "--max-examples", "5", "--max-time", str(BUDGET), "--request-timeout", "10", "--request-retries", "2",
                   "--generation-deterministic", "--warnings", "off", "--no-color", *arguments]
        run = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=HANGS)
        # A body of megabytes, in one line, would hide what failed.
        said = "\n".join(line[:400] for line in (run.stdout + run.stderr).splitlines())
        assert run.returncode == 0, f"schemathesis: {run.returncode}\n{said[-8000:]}"
        print(*[line for line in run.stdout.splitlines() if "generated" in line or "Tested:" in line], sep="\n", flush=True)

    def curl_is_let_in_by_the_certificate_alone(self):
        status, media_type, body = self._curl("/api/Jobs", *self.certificate)
        assert (status, media_type) == (200, "application/json"), body
        assert [job["id"] for job in json.loads(body)] == ["secrets-scanner"], body
        status, media_type, body = self._curl("/api/Jobs")
        assert (status, media_type) == (403, "application/problem+json"), body
        assert json.loads(body)["tierNeeded"] == "Plugin", body

    def a_browser_gets_the_page(self):
        status, media_type, body = self._curl("/", "--header", "Accept: text/html", *self.certificate)
        assert (status, media_type) == (200, "text/html; charset=utf-8"), body
        assert "secrets-scanner" in body, body

    def the_metrics_are_what_prometheus_reads(self):
        self.agent.run("secrets-scanner", {"ScanPath": str(self.folder)})
        status, _, body = self._curl("/metrics", *self.certificate)
        assert status == 200, body
        families = {family.name: family for family in text_string_to_metric_families(body)}
        assert families["castellan_runs"].type == "counter" and families["castellan_run_duration_seconds"].type == "histogram", body
        runs = {sample.labels["outcome"]: sample.value for sample in families["castellan_runs"].samples}
        assert runs["Succeeded"] >= 1, runs
        for family in families.values():
            assert family.documentation.endswith(".") and family.samples, family

    def the_administrator_is_answered_as_described(self):
        admin = self.agent.root / "state/admin"
        self._schemathesis("--request-cert", admin / "client.pem", "--request-cert-key", admin / "client.key")

    def a_stranger_is_answered_as_described(self):
        self._schemathesis()

    def the_agent_is_still_well(self):
        status, _, body = self._curl("/health")
        assert (status, json.loads(body)["status"]) == (200, "healthy"), body
        anomalies = [line for line in self.agent.log() if line["category"] in ("Anomaly", "Congested")]
        assert not anomalies, anomalies[:5]


def main():
    return tell(arguments(__doc__).parse_args(), Story)


if __name__ == "__main__":
    sys.exit(main())
