"""AWS KMS and S3 as moto emulates them, on a free port of loopback, which is printed. Ends when its standard input does.

moto goes on using keys that are disabled or wait for their deletion. AWS refuses to, and so does this. moto looks whether an object
is there, and then writes it. AWS does so in one step, and so does this.
"""

import os
import sys
import threading

from moto.core.exceptions import JsonRESTError
from moto.kms.models import KmsBackend
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.responses import S3Response
from moto.server import MotoRequestHandler
from werkzeug.serving import make_server

REFUSALS = {
    "Disabled": "DisabledException",
    "PendingDeletion": "KMSInvalidStateException",
}


def refuse_unless_enabled(backend, key_id):
    key = backend.keys[backend.any_id_to_key_id(key_id)]
    if key.key_state in REFUSALS:
        refusal = JsonRESTError(REFUSALS[key.key_state], f"{key.arn} is {key.key_state}.")
        refusal.code = 400
        raise refusal


moto_encrypt, moto_decrypt = KmsBackend.encrypt, KmsBackend.decrypt


def encrypt(self, key_id, plaintext, encryption_context):
    refuse_unless_enabled(self, key_id)
    return moto_encrypt(self, key_id, plaintext, encryption_context)


def decrypt(self, ciphertext_blob, encryption_context, key_id=None):
    refuse_unless_enabled(self, key_id)
    return moto_decrypt(self, ciphertext_blob, encryption_context, key_id)


KmsBackend.encrypt, KmsBackend.decrypt = encrypt, decrypt


moto_put_object, one_at_a_time = S3Response.put_object, threading.Lock()


def put_object(self):
    with one_at_a_time:
        return moto_put_object(self)


S3Response.put_object = put_object


class Quiet(MotoRequestHandler):
    def log_request(self, *_):
        pass


def end_with_input():
    sys.stdin.buffer.read()
    os._exit(0)


server = make_server(
    "127.0.0.1",
    0,
    DomainDispatcherApplication(create_backend_app),
    threaded=True,
    request_handler=Quiet,
)
print(server.port, flush=True)
threading.Thread(target=end_with_input, daemon=True).start()
server.serve_forever()
