#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A second implementation of the construction in crypto/seal.h, from its text alone: writes the fixed sealed objects that
the tests open (tests/data/sealed.txt). Needs libsodium.so.23. usage: sealed.py > sealed.txt"""
import ctypes
import hashlib
import struct

SODIUM = ctypes.CDLL("libsodium.so.23")
SODIUM.sodium_init()


def blake(key, data, size=32, salt=b"", person=b""):
    return hashlib.blake2b(data, digest_size=size, key=key, salt=salt, person=person).digest()


def subkey(key, context, salt):
    return blake(key, b"", 32, salt, context)


def aead(key, nonce, aad, plain):
    out = ctypes.create_string_buffer(len(plain) + 16)
    size = ctypes.c_ulonglong()
    SODIUM.crypto_aead_xchacha20poly1305_ietf_encrypt(out, ctypes.byref(size), plain, ctypes.c_ulonglong(len(plain)), aad,
                                                     ctypes.c_ulonglong(len(aad)), None, nonce, key)
    return out.raw


def sign(seed, message):
    public, secret, signature = (ctypes.create_string_buffer(n) for n in (32, 64, 64))
    SODIUM.crypto_sign_seed_keypair(public, secret, seed)
    SODIUM.crypto_sign_detached(signature, None, message, ctypes.c_ulonglong(len(message)), secret)
    return public.raw, signature.raw


def padme(n):
    if n < 2:
        return n
    e = n.bit_length() - 1
    s = e.bit_length()
    mask = (1 << max(e - s, 0)) - 1
    return (n + mask) & ~mask


def cbor(v):
    def head(major, n):
        if n < 24:
            return bytes([major << 5 | n])
        for code, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
            if n < 1 << 8 * size:
                return bytes([major << 5 | code]) + n.to_bytes(size, "big")
        raise ValueError

    if isinstance(v, int):
        return head(0, v)
    if isinstance(v, bytes):
        return head(2, len(v)) + v
    if isinstance(v, list):
        return head(4, len(v)) + b"".join(map(cbor, v))
    return head(5, len(v)) + b"".join(cbor(k) + cbor(v[k]) for k in sorted(v))


def seal(label, key, nonce, aad, plain, least=0, digest=b""):
    """`nonce` is 24 bytes, or the id that a derived nonce is salted with; then `digest` is the keyed hash of the plaintext."""
    body = plain + bytes(max(padme(len(plain)), least) - len(plain))
    inner = body + b"\0" + struct.pack(">I", len(plain))
    if len(nonce) == 16:
        nonce = blake(subkey(key, b"cof-nonc", nonce), struct.pack(">Q", len(aad)) + aad + digest + inner[-5:])[:24]
    both = blake(key, label + nonce, 64)
    return nonce + both[:32] + aead(both[32:], nonce, aad, inner)


def run(start, n):
    return bytes((start + i) % 256 for i in range(n))


def line(**fields):
    print(" ".join(f"{k}={v.hex() if isinstance(v, bytes) else v}" for k, v in fields.items()))


def small():
    key, nonce, aad, plain = run(0, 32), run(64, 24), b"place", b"a name"
    line(kind="small", key=key, aad=aad, plain=plain, sealed=seal(b"coffer/test/1", key, nonce, aad, plain, 32))


def chunk():
    space, chunk_id, key, hash_key = run(0x10, 16), run(0x30, 16), run(0x50, 32), run(0x80, 32)
    plain = hashlib.shake_256(b"chunk").digest(1500)  # random: no zstd makes it shorter
    header = cbor({0: 1, 1: space, 2: chunk_id, 3: b""})
    digest = blake(hash_key, b"coffer/chunk-hash/1" + plain)
    sealed = seal(b"coffer/chunk/1", key, chunk_id, b"coffer/chunk/1" + header, plain, digest=digest)
    blob = b"\x82" + header + cbor(sealed)
    line(kind="chunk", space=space, id=chunk_id, key=key, hashkey=hash_key, plain=plain, hash=digest, blob=blob)
    # An opener does not ask how the nonce was chosen.
    blob = b"\x82" + header + cbor(seal(b"coffer/chunk/1", key, run(0xa0, 24), b"coffer/chunk/1" + header, plain))
    line(kind="chunk-other-nonce", space=space, id=chunk_id, key=key, hashkey=hash_key, plain=plain, hash=digest, blob=blob)


def record():
    epoch_key, space, node, nonce, seed = run(1, 32), run(2, 16), run(3, 16), run(4, 24), run(5, 32)
    author, _ = sign(seed, b"")
    link = [run(6, 16), bytes(16), bytes(16), b"a"]
    plain = cbor({0: 1, 1: 1, 2: 0o644, 7: 5, 8: b"hello", 9: [link]})
    header = {0: 1, 1: space, 2: node, 3: 7, 4: run(7, 32), 5: 3, 6: run(8, 32), 7: author, 8: b"", 10: 0}
    key = subkey(subkey(epoch_key, b"cof-spac", space), b"cof-node", node)
    sealed = seal(b"coffer/record/1", key, nonce, cbor(header), plain)
    header[9] = hashlib.sha256(sealed).digest()
    _, signature = sign(seed, b"coffer/record/1" + cbor(header))
    blob = b"\x83" + cbor(header) + cbor(sealed) + cbor(signature)
    line(kind="record", epochkey=epoch_key, space=space, id=node, author=author, blob=blob,
         hash=hashlib.sha256(blob).digest())


def chain():
    h = bytes(32)
    for cursor, lines in ((1, b"\x80"), (2, b"\x81\x01")):
        h = blake(b"", h + struct.pack(">Q", cursor) + lines)
        line(kind="chain", cursor=struct.pack(">Q", cursor), lines=lines, hash=h)


print("# written by tests/data/sealed.py")
small()
chunk()
record()
chain()
