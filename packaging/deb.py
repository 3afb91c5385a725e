#!/usr/bin/env python3
"""Builds the .deb from `package.metadata.deb` of app/Cargo.toml, the form that cargo-deb reads, with nothing but dpkg-deb. Man pages and
completions are written by the binary itself.

    cargo deb        # an alias: builds the binary, then this, into target/deb
    packaging/deb.py --binary target/release/castellan --out target/deb [--revision 1]

Prints the path of the package.
"""
import argparse
import gzip
import json
import pathlib
import re
import shutil
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
APP = HERE.parent / "app"
SCRIPTS = ["postinst", "prerm", "postrm"]
# Below /usr/share, where each shell looks.
COMPLETIONS = {
    "bash": "bash-completion/completions/castellan",
    "zsh": "zsh/vendor-completions/_castellan",
    "fish": "fish/vendor_completions.d/castellan.fish",
}
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def metadata():
    command = ["cargo", "metadata", "--no-deps", "--format-version", "1", "--offline", "--manifest-path", str(APP / "Cargo.toml")]
    packages = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["packages"]
    return next(package for package in packages if package["name"] == "castellan")


def libc_of(binary):
    """The newest glibc whose symbols the binary names."""
    versions = re.findall(rb"GLIBC_2\.(\d+)", binary.read_bytes())
    return "libc6 (>= 2.%d)" % max(map(int, versions)) if versions else "libc6"


def architecture():
    host = re.search(r"^host: (\w+)-", subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout, re.M)
    return ARCHITECTURES[host.group(1)]


def copy(source, target, mode):
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


def written_by(binary, man, completions):
    """What the binary says about itself: a page for each command (Debian Policy 12.1 and 12.3: compressed, reproducibly), completions."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([binary.resolve(), "manual", folder], check=True, capture_output=True)
        man.mkdir(parents=True)
        for page in pathlib.Path(folder).iterdir():
            target = man / f"{page.name}.gz"
            target.write_bytes(gzip.compress(page.read_bytes(), mtime=0))
            target.chmod(0o644)
    for shell, name in COMPLETIONS.items():
        script = subprocess.run([binary.resolve(), "completions", shell], check=True, capture_output=True).stdout
        target = completions / name
        target.parent.mkdir(parents=True)
        target.write_bytes(script)
        target.chmod(0o644)


def build(binary, out, revision):
    package = metadata()
    deb = package["metadata"]["deb"]
    version = f"{package['version']}-{revision}"
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        tree = pathlib.Path(folder) / "tree"
        for source, target, mode in deb["assets"]:
            source = binary if source == "target/release/castellan" else APP / source
            target = tree / target
            copy(source, target / source.name if str(target).endswith("/") or target.is_dir() else target, int(mode, 8))
        written_by(binary, tree / "usr/share/man/man1", tree / "usr/share")
        copy(HERE / "debian/copyright", tree / "usr/share/doc/castellan/copyright", 0o644)
        control = tree / "DEBIAN"
        for script in SCRIPTS:
            copy(HERE / "debian" / script, control / script, 0o755)
        size = sum(path.stat().st_size for path in tree.rglob("*") if path.is_file()) // 1024
        summary, text = package["description"], deb["extended-description"].strip()
        fields = {
            "Package": deb["name"],
            "Version": version,
            "Architecture": architecture(),
            "Maintainer": deb["maintainer"],
            "Section": deb["section"],
            "Priority": deb["priority"],
            "Depends": libc_of(binary),
            "Installed-Size": size,
            "Description": summary + "".join(f"\n {line.strip() or '.'}" for line in text.splitlines()),
        }
        (control / "control").write_text("".join(f"{name}: {value}\n" for name, value in fields.items()))
        for path in [tree, *tree.rglob("*")]:
            if path.is_dir():
                path.chmod(0o755)
        target = out / f"{deb['name']}_{version}_{fields['Architecture']}.deb"
        subprocess.run(["dpkg-deb", "--root-owner-group", "-Zxz", "--build", str(tree), str(target)], check=True, capture_output=True)
    return target


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--revision", default="1")
    options = parser.parse_args()
    print(build(options.binary, options.out, options.revision))
