#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Converts public test vectors (JSON) into the lines that tests/lib/vectors.h reads; tests/data/README.md says which.

usage: vectors.py ed25519|x25519|xchacha20|aes256gcm WYCHEPROOF.json > FILE.txt
       vectors.py hpke HPKE.json > hpke.txt
"""
import json
import sys

SOURCES = {
    "ed25519": "C2SP/wycheproof testvectors_v1/ed25519_test.json (Apache-2.0)",
    "x25519": "C2SP/wycheproof testvectors_v1/x25519_test.json (Apache-2.0)",
    "xchacha20": "C2SP/wycheproof testvectors_v1/xchacha20_poly1305_test.json (Apache-2.0); the cases with 24-byte nonces",
    "aes256gcm": "C2SP/wycheproof testvectors_v1/aes_gcm_test.json (Apache-2.0); the cases with 32-byte keys, 12-byte nonces",
    "hpke": "RFC 9180 appendix A.2, base mode (DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305)",
}


def line(**fields):
    print(" ".join(f"{k}={v}" for k, v in fields.items()))


def wycheproof(kind, data):
    for group in data["testGroups"]:
        for t in group["tests"]:
            if kind == "ed25519":
                line(id=t["tcId"], result=t["result"], pk=group["publicKey"]["pk"], msg=t["msg"], sig=t["sig"])
            elif kind == "x25519":
                line(id=t["tcId"], result=t["result"], pk=t["public"], sk=t["private"], shared=t["shared"])
            elif (group["ivSize"], group["keySize"]) == ((192, 256) if kind == "xchacha20" else (96, 256)):
                line(id=t["tcId"], result=t["result"], key=t["key"], iv=t["iv"], aad=t["aad"], msg=t["msg"], ct=t["ct"],
                     tag=t["tag"])


def hpke(data):
    for v in data["vectors"]:
        if v["mode"] != "0":
            continue
        first = next(e for e in v["encryptions"] if e["sequence_number"] == "0")
        names = {"info": "info", "ikmE": "ikme", "skEm": "ske", "ikmR": "ikmr", "pkRm": "pkr", "skRm": "skr", "enc": "enc",
                 "shared_secret": "shared", "key": "key", "base_nonce": "nonce"}
        fields = {short: v[name] for name, short in names.items()}
        line(**fields, aad=first["aad"], pt=first["pt"], ct=first["ct"])


def main():
    kind = sys.argv[1]
    with open(sys.argv[2], encoding="utf-8") as f:
        data = json.load(f)
    print(f"# {SOURCES[kind]}")
    hpke(data) if kind == "hpke" else wycheproof(kind, data)


main()
