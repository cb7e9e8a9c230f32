"""Make Debian's servers work from where they were unpacked.

Debian builds Prometheus and Alertmanager to read templates and pages from ``/usr/share/prometheus``; Alertmanager does
not start without them. An unpacked copy has them elsewhere. So the path inside the copied program is replaced by one of
equal length that leads through an open file descriptor, and a small script in its place opens that descriptor first.
Works without root and without namespaces; Linux only, as the packages are.
"""

from pathlib import Path

_BUILT_IN = b"/usr/share/prometheus"
_DESCRIPTOR = 9
_REPLACEMENT = f"/proc/self/fd/{_DESCRIPTOR}".encode().ljust(len(_BUILT_IN), b"/")

_SCRIPT = f"""#!/bin/sh
# Opens the folder that the program beside this script reads its templates from, then becomes that program.
here=$(dirname "$(readlink -f "$0")")
exec {_DESCRIPTOR}<"$here/../share/prometheus"
exec "$here/$(basename "$0").relocated" "$@"
"""

_LIBRARY_SCRIPT = """#!/bin/sh
# Has the program beside this script find the libraries that were unpacked with it.
here=$(dirname "$(readlink -f "$0")")
for folder in "$here"/../lib/*-linux-*; do LD_LIBRARY_PATH="$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"; done
export LD_LIBRARY_PATH
exec "$here/$(basename "$0").relocated" "$@"
"""


def bring_libraries(package: Path) -> None:
    """Have the programs below ``usr/bin`` of an unpacked package load the libraries that lie beside them."""
    for program in sorted((package / "usr" / "bin").iterdir()):
        copy = program.with_name(f"{program.name}.relocated")
        if program.is_symlink():  # one program under two names, which goes by the name that it was called by
            copy.symlink_to(f"{program.readlink()}.relocated")
            program.unlink()
        else:
            program.rename(copy)
        program.write_text(_LIBRARY_SCRIPT)
        program.chmod(0o755)


def relocate(package: Path) -> list[Path]:
    """Relocate the programs below ``usr/bin`` of an unpacked package that need it; returns them.

    Programs that do not mention the folder are left alone, and so is everything once it has been relocated.
    """
    if not (package / "usr" / "share" / "prometheus").is_dir():
        return []
    relocated = []
    for program in sorted((package / "usr" / "bin").iterdir()):
        content = program.read_bytes()
        if not content.startswith(b"\x7fELF") or _BUILT_IN not in content:
            continue
        copy = program.with_name(f"{program.name}.relocated")
        copy.write_bytes(content.replace(_BUILT_IN, _REPLACEMENT))
        copy.chmod(0o755)
        program.unlink()
        program.write_text(_SCRIPT)
        program.chmod(0o755)
        relocated.append(program)
    return relocated
