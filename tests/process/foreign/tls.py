"""A self-signed certificate, trusted by the fingerprint that the coordinator shows at its start."""

import asyncio
import hashlib
import json
import os
import ssl

from websockets.asyncio.client import connect

PORT = os.environ["COORD_PORT"]
OPERATOR = os.environ["COORD_OPERATOR"]
FINGERPRINT = os.environ["COORD_FINGERPRINT"]
HEADERS = {"Authorization": f"Bearer {OPERATOR}"}


async def pinned():
    """The certificate that this port serves, if it is the one of the fingerprint."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", PORT, ssl=context)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    assert hashlib.sha256(der).hexdigest() == FINGERPRINT.replace(":", "").lower()
    return ssl.DER_cert_to_PEM_cert(der)


async def main():
    context = ssl.create_default_context(cadata=await pinned())
    for host in ["127.0.0.1", "localhost"]:
        url = f"wss://{host}:{PORT}/ws"
        async with connect(url, ssl=context, additional_headers=HEADERS) as connection:
            request = {"jsonrpc": "2.0", "id": 1, "method": "server.status"}
            await connection.send(json.dumps(request))
            answer = json.loads(await asyncio.wait_for(connection.recv(), 20))
            assert answer["result"]["environment"] == "testing", answer
            version = connection.transport.get_extra_info("ssl_object").version()
            assert version in ("TLSv1.2", "TLSv1.3"), version
    try:
        async with connect(f"wss://127.0.0.1:{PORT}/ws", additional_headers=HEADERS):
            raise AssertionError("a certificate nobody vouches for was trusted")
    except ssl.SSLCertVerificationError:
        pass
    try:
        async with connect(f"ws://127.0.0.1:{PORT}/ws", additional_headers=HEADERS):
            raise AssertionError("plain text was taken on a TLS port")
    except Exception as error:
        assert not isinstance(error, AssertionError), error
    print("python over TLS: all well")


asyncio.run(main())
