"""A connection kept for ever: made, lost, and made again."""

import asyncio

from qkd_controller.link import tls
from qkd_controller.link.endpoint import (
    BackOff,
    ConnectionState,
    LinkEndpoint,
    OnEvent,
    OnSession,
    OnState,
)
from qkd_controller.link.errors import LinkError
from qkd_controller.link.listener import Listener
from qkd_controller.link.serving import Service, over_network
from qkd_controller.link.tls_pipe import TlsPipe

__all__ = ["BackOff", "ConnectionState", "LinkEndpoint", "maintain"]


async def maintain(
    end: LinkEndpoint, on_session: OnSession, on_state: OnState, on_event: OnEvent
) -> None:
    """Keeps a session with the peer for ever, making a new one whenever it is lost.

    on_session runs beside each session and is cancelled when the session ends; if it returns,
    the session is closed. A LinkError from either leads to a new attempt; anything else, above
    all a StoreError such as PadExhausted, ends the link and is raised here.
    """
    host, _ = end.host_and_port
    await asyncio.to_thread(tls.check_own, end.tls, end.terms.own, host)
    keys = await end.store.read(lambda s: s.pairing_keys())
    service = Service(end, keys, on_session, on_state, on_event)
    if end.terms.own == end.terms.roles.listener:
        await Listener(service).run()
    else:
        await _keep_connecting(service)


async def _keep_connecting(service: Service) -> None:
    end = service.end
    context = await asyncio.to_thread(tls.client_context, end.tls)
    host, port = end.host_and_port
    timeout_s = end.timing.handshake_timeout_s
    while True:
        service.on_state(ConnectionState.CONNECTING, "")
        try:
            pipe = await over_network(
                end.terms.peer,
                timeout_s,
                TlsPipe.connected(context, server_side=False, host=host, port=port),
            )
            await service.serve(await service.introduce(pipe))
        except LinkError as error:
            service.lost(error)
        else:
            service.lost(LinkError("the session was closed here"))
        await service.pause()
