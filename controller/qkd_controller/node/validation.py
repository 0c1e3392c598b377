"""Everything that can be said of a node file before it runs, with all faults at once."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from qkd_controller.config.check import link_faults, listening_addresses, node_faults, split_address
from qkd_controller.config.errors import ConfigError, QkdError
from qkd_controller.config.identity import certificate_identity, require_loopback_for_demo
from qkd_controller.config.link import LinkFile
from qkd_controller.config.load import load_link, load_node
from qkd_controller.config.node import NodeFile
from qkd_controller.devices.set_points import validate_device
from qkd_controller.security.bounds import released_bits


@dataclass(frozen=True)
class Checked:
    """A node file without faults, its link files, and the key that a block of each gives."""

    node: NodeFile
    links: tuple[LinkFile, ...]
    released_bits: tuple[int, ...]


def validate(path: Path) -> Checked:
    """Reads a node file and all it names; raises ConfigError with every fault found."""
    node = load_node(path)
    faults: list[str] = []
    links: list[LinkFile | None] = []
    released: list[int] = []
    for end in node.links:
        try:
            link = load_link(Path(end.link_file))
        except ConfigError as error:
            faults += error.faults
            links.append(None)
            continue
        links.append(link)
        own = link_faults(link)
        if not own:
            released.append(released_bits(link.block, 0, 0))
            if released[-1] <= 8 * (link.block.pad_refill_bits // 8):
                own.append(
                    f"block: n {link.block.key_bits}, k {link.block.test_bits}, "
                    f"Q_tol {link.block.qber_tolerance_ratio:g} and this leakage budget leave no "
                    "key; enlarge the block or tolerate less"
                )
        faults += [f"{end.link_file}: {fault}" for fault in own]
    ours = node_faults(node, links)
    for i, end in enumerate(node.links):
        for device in end.devices:
            ours += [f"links[{i}]: {fault}" for fault in validate_device(device)]
    if not any(fault.startswith("tls.certificate") for fault in ours):
        ours += _identity_faults(node)
    faults += [f"{path}: {fault}" for fault in ours]
    if faults:
        raise ConfigError(faults)
    return Checked(node, tuple(link for link in links if link is not None), tuple(released))


def _identity_faults(node: NodeFile) -> list[str]:
    """Whether the certificate is this node's own, and may be used on these addresses."""
    faults = []
    try:
        pem = Path(node.tls.certificate).read_text(encoding="ascii")
        identity = certificate_identity(ssl.PEM_cert_to_DER_cert(pem))
    except (OSError, ValueError, QkdError) as error:
        return [f"tls.certificate: {node.tls.certificate}: {error}"]
    if identity.role != "node" or identity.name != node.name:
        faults.append(
            f"tls.certificate: {node.tls.certificate} is of {identity.role} {identity.name}, "
            f"not of node {node.name}"
        )
    for setting, address in listening_addresses(node).items():
        try:
            require_loopback_for_demo(identity, split_address(address)[0])
        except ValueError:
            continue  # reported as a fault of the address itself
        except QkdError as error:
            faults.append(f"{setting}: {error}")
    return faults
