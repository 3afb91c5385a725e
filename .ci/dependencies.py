#!/usr/bin/env python3
"""Holds every dependency that is built for this machine against deny.toml: licence, ban, source.

Reads `cargo metadata` alone, so it needs nothing but Cargo and Python. The last line is `N passed, M failed`.
"""
import json
import re
import subprocess
import sys

try:
    import tomllib
except ImportError:  # Python before 3.11
    import tomli as tomllib


def is_allowed(expression, allowed):
    """Whether an SPDX expression can be met with the allowed licences; `/` is the old way to write OR."""
    words = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))

    def alternatives():
        met = together()
        while words and words[0] == "OR":
            words.pop(0)
            met = together() or met
        return met

    def together():
        met = one()
        while words and words[0] == "AND":
            words.pop(0)
            met = one() and met
        return met

    def one():
        word = words.pop(0)
        if word == "(":
            met = alternatives()
            words.pop(0)
            return met
        if words and words[0] == "WITH":
            word = f"{word} WITH {words[1]}"
            del words[:2]
        return word in allowed

    return alternatives()


def fault(package, policy):
    """Why a package may not come in, or None."""
    banned = {ban["crate"]: ban["reason"] for ban in policy["bans"]["deny"]}
    if package["name"] in banned:
        return f"is banned: {banned[package['name']]}"
    registries = [f"registry+{address}" for address in policy["sources"]["allow-registry"]]
    if package["source"] is not None and package["source"] not in registries:
        return f"comes from {package['source']}, which is not among the allowed sources"
    if not package["license"]:
        return "names no licence"
    if not is_allowed(package["license"], policy["licenses"]["allow"]):
        return f"has the licence {package['license']}, which the list does not allow"
    return None


def main():
    with open("deny.toml", "rb") as file:
        policy = tomllib.load(file)
    host = re.search(r"^host: (\S+)$", subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout, re.M)[1]
    command = ["cargo", "metadata", "--locked", "--format-version=1", f"--filter-platform={host}"]
    metadata = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    faults = {f"{package['name']} {package['version']}": fault(package, policy) for package in metadata["packages"]}
    failed = {name: why for name, why in faults.items() if why}
    for name, why in sorted(failed.items()):
        print(f"FAILED {name} {why}")
    print(f"{len(faults) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed or not faults else 0


if __name__ == "__main__":
    sys.exit(main())
