import hashlib
import re

from socksfusion.identity.tokens import mint_token, token_digest


def test_a_token_has_192_bits_and_fits_everywhere() -> None:
    tokens = {mint_token() for _ in range(500)}
    assert len(tokens) == 500
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{31}", token) for token in tokens)


def test_what_is_kept_of_it() -> None:
    token = mint_token()
    assert token_digest(token) == token_digest(token.encode()) == hashlib.sha256(token.encode()).digest()


def test_whatever_somebody_sends_has_a_digest() -> None:
    assert token_digest("\udcff") == token_digest(b"\xff")
