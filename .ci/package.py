#!/usr/bin/env python3
"""The .deb: its content, and install, upgrade, remove and purge in a throw-away root (`dpkg --root`, scripts told by DPKG_ROOT).

    .ci/package.py --binary target/release/castellan --work target/ci

The last line is `N passed, M failed`.
"""
import argparse
import gzip
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
PASSED, FAILED = [], []
# Each shell's completions below /usr/share, with what makes them work there.
COMPLETIONS = {
    "bash-completion/completions/castellan": "complete -F _castellan",
    "zsh/vendor-completions/_castellan": "#compdef castellan",
    "fish/vendor_completions.d/castellan.fish": "complete -c castellan",
}


def check(what, is_so, told=""):
    (PASSED if is_so else FAILED).append(what)
    if not is_so:
        print(f"FAILED: {what} {told}")


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def content(package):
    listing = run("dpkg-deb", "--contents", package)[1]
    files = {line.split()[-1].removeprefix("."): line.split()[:2] for line in listing.splitlines()}
    for path, mode in [
        ("/usr/bin/castellan", "-rwxr-xr-x"),
        ("/usr/lib/systemd/system/castellan.service", "-rw-r--r--"),
        ("/usr/share/doc/castellan/copyright", "-rw-r--r--"),
        ("/usr/share/doc/castellan/operations.md", "-rw-r--r--"),
        ("/usr/share/doc/castellan/LICENSE", "-rw-r--r--"),
        ("/usr/share/man/man1/castellan.1.gz", "-rw-r--r--"),
        ("/usr/share/man/man1/castellan-jobs-apply.1.gz", "-rw-r--r--"),
        ("/usr/share/bash-completion/completions/castellan", "-rw-r--r--"),
        ("/usr/share/zsh/vendor-completions/_castellan", "-rw-r--r--"),
        ("/usr/share/fish/vendor_completions.d/castellan.fish", "-rw-r--r--"),
    ]:
        check(f"{path} is in it, {mode}, root's", files.get(path) == [mode, "root/root"], files.get(path))
    check("nothing of it is below /opt", not any(path.startswith("/opt") for path in files))
    check("nobody but root may change any of it", not any(kind[0][5] == "w" or kind[0][8] == "w" for kind in files.values()))
    fields = run("dpkg-deb", "--field", package)[1]
    check("it names its libc", "Depends: libc6 (>= 2." in fields, fields)


def life(packages, root):
    """Install, what the agent would make, upgrade, remove, purge."""
    admin = root / "var/lib/dpkg"
    (admin / "updates").mkdir(parents=True)
    for name in ["status", "available"]:
        (admin / name).touch()
    dpkg = ["dpkg", f"--root={root}", "--force-not-root", "--force-depends", "--force-script-chrootless", "--log=/dev/null"]
    agent = root / "opt/castellan"

    def state():
        return run("dpkg-query", f"--admindir={admin}", "-W", "-f=${Status} ${Version}", "castellan")[1]

    code, told = run(*dpkg, "--install", packages[0])
    check("it installs", code == 0 and state() == "install ok installed " + version(packages[0]), told)
    check("the agent root is made, closed to others' changes", agent.is_dir() and agent.stat().st_mode & 0o777 == 0o755)
    code, told = run(root / "usr/bin/castellan", "--version")
    check("its binary runs", code == 0 and told.startswith("castellan "), told)
    with gzip.open(root / "usr/share/man/man1/castellan-jobs-apply.1.gz", "rt") as page:
        check("its man pages are manuals", "castellan jobs apply" in page.read().replace("\\-", "-"))
    for path, word in COMPLETIONS.items():
        check(f"{path} completes", word in (root / "usr/share" / path).read_text())
    for path in ["Jobs/mine.json", "state/admin/ca.key", "state/history.db", "ca.pem", "Plugins/bin/empty"]:
        (agent / path).parent.mkdir(parents=True, exist_ok=True)
        (agent / path).mkdir() if path.endswith("empty") else (agent / path).write_text("{}")
    (agent / "Plugins/bin/empty").rmdir()
    code, told = run(*dpkg, "--install", packages[1])
    check("it upgrades", code == 0 and state() == "install ok installed " + version(packages[1]), told)
    check("an upgrade keeps keys and history", (agent / "state/admin/ca.key").exists())
    code, told = run(*dpkg, "--remove", "castellan")
    check("it is removed", code == 0 and not (root / "usr/bin/castellan").exists(), told)
    check("removing keeps keys and history", (agent / "state/history.db").exists())
    code, told = run(*dpkg, "--purge", "castellan")
    check("it is purged", code == 0 and "installed" not in state(), told)
    left = sorted(str(path.relative_to(agent)) for path in agent.rglob("*"))
    check("purge takes what the agent made and leaves the administrator's jobs", left == ["Jobs", "Jobs/mine.json"], left)
    (agent / "Jobs/mine.json").unlink()
    run(*dpkg, "--install", packages[1])
    code, told = run(*dpkg, "--purge", "castellan")
    check("where nothing is the administrator's, nothing is left", code == 0 and not agent.exists(), told)


def version(package):
    return run("dpkg-deb", "--field", package, "Version")[1].strip()


def unit():
    text = (HERE.parent / "packaging/castellan.service").read_text()
    if not shutil.which("systemd-analyze"):
        print("SKIPPED: systemd-analyze is not there; the unit is not verified")
        return
    place = options.work / "castellan.service"
    place.write_text(text.replace("/usr/bin/castellan", "/bin/true"))
    code, told = run("systemd-analyze", "verify", place)
    check("systemd-analyze verify has nothing to say about the unit", code == 0 and not told.strip(), told)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    unit()
    if not shutil.which("dpkg-deb"):
        print("SKIPPED: dpkg-deb is not there; no package is built")
    else:
        out, root = options.work / "deb", options.work / "deb-root"
        shutil.rmtree(out, ignore_errors=True)
        shutil.rmtree(root, ignore_errors=True)
        build = [sys.executable, HERE.parent / "packaging/deb.py", "--binary", options.binary, "--out", out]
        packages = [pathlib.Path(run(*build, "--revision", revision)[1].strip()) for revision in "12"]
        check("the package is built", all(package.is_file() for package in packages), packages)
        if not FAILED:
            content(packages[0])
            life(packages, root)
        shutil.rmtree(root, ignore_errors=True)
    print(f"{len(PASSED)} passed, {len(FAILED)} failed")
    sys.exit(bool(FAILED))
