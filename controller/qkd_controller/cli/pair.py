"""qkd pair: the secret that two nodes share before they can trust each other's first word."""

import argparse
from pathlib import Path

from qkd_controller.config.link import LinkFile
from qkd_controller.config.load import load_link, load_node
from qkd_controller.config.node import NodeFile
from qkd_controller.keys.errors import PairingError
from qkd_controller.keys.pairing import (
    PairingHeader,
    erase_file,
    import_pairing,
    make_pairing,
    read_pairing,
    write_pairing,
)
from qkd_controller.keys.store import KeyStore

LARGEST_PAD_MIB = 512


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds ``qkd pair`` to the command."""
    parser = subparsers.add_parser("pair", help="make and import the secret that pairs two nodes")
    parser.set_defaults(run=run)
    actions = parser.add_subparsers(dest="action", required=True)
    new = actions.add_parser("new", help="make a pairing file, to carry to both ends by hand")
    new.add_argument("link", type=Path, metavar="LINK.toml")
    new.add_argument("--out", type=Path, required=True, metavar="FILE")
    new.add_argument(
        "--pad-mib", type=int, default=1, help="one-time pad of each direction (default: 1 MiB)"
    )
    load = actions.add_parser("import", help="take a pairing file into a node, and erase it")
    load.add_argument("file", type=Path, metavar="FILE")
    load.add_argument("--node", type=Path, required=True, metavar="NODE.toml")
    load.add_argument(
        "--replace", action="store_true", help="give up the link's present pairing, at both ends"
    )
    load.add_argument(
        "--discard-keys",
        action="store_true",
        help="with --replace: also give up keys that were made and not delivered",
    )


def run(args: argparse.Namespace) -> int:
    """Runs ``qkd pair``."""
    if args.action == "new":
        new_pairing_file(args.link, args.out, args.pad_mib)
        print(
            f"{args.out} pairs both ends of the link. Keep it secret: carry a copy to each node\n"
            "by hand and import it there with: qkd pair import. An import erases the file it reads."
        )
    else:
        header = import_pairing_file(args.file, args.node, args.replace, args.discard_keys)
        print(
            f"link {header.link} is paired; {args.file} was overwritten and removed.\nFlash media"
            " (SSDs, USB sticks) may still hold its content in cells that they have set aside:\n"
            "destroy the medium, or use only an encrypted one."
        )
    return 0


def new_pairing_file(link_file: Path, out: Path, pad_mib: int = 1) -> None:
    """Makes a pairing file for a link; raises ConfigError, or PairingError if out exists."""
    if not 1 <= pad_mib <= LARGEST_PAD_MIB:
        raise PairingError(f"--pad-mib must be 1 to {LARGEST_PAD_MIB}, not {pad_mib}")
    secret = make_pairing(load_link(link_file), pad_mib << 20)
    try:
        write_pairing(out, secret)
    finally:
        secret.wipe()


def import_pairing_file(
    file: Path, node_file: Path, replace: bool = False, discard_keys: bool = False
) -> PairingHeader:
    """Takes a pairing file into a node's store, then erases it.

    Raises ConfigError or StoreError; a file that was not taken is left as it is.
    """
    node = load_node(node_file)
    links = [load_link(Path(end.link_file)) for end in node.links]
    secret = read_pairing(file)
    try:
        _require_link_of(node, links, secret.header)
        with KeyStore(Path(node.state_dir)) as store:
            import_pairing(store, secret, node.name, replace, discard_keys)
    finally:
        secret.wipe()
    try:
        erase_file(file)
    except PairingError as error:
        raise PairingError(f"link {secret.header.link} is paired now, but {error}") from error
    return secret.header


def _require_link_of(node: NodeFile, links: list[LinkFile], header: PairingHeader) -> None:
    for link in links:
        if link.name != header.link:
            continue
        if link.nodes != header.nodes or link.roles.commit_leader != header.commit_leader:
            raise PairingError(
                f"the pairing of link {header.link} is between {' and '.join(header.nodes)} with"
                f" commit leader {header.commit_leader}, but its link file says"
                f" {' and '.join(link.nodes)} with {link.roles.commit_leader}; make a new pairing"
                " from this link file"
            )
        return
    names = ", ".join(link.name for link in links) or "none"
    raise PairingError(
        f"the pairing is of link {header.link}, which node {node.name} does not have (it has:"
        f" {names})"
    )
