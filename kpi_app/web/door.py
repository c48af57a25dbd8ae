"""Door: who is let in to the pages, by a password (HTTP Basic, for people) or a token (Bearer, for programs)."""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass, field

from kpi_app.settings import Settings

#: Pages that whoever starts and stops workers may ask without either; they learn the status, and no reasons.
OPEN = frozenset({"/livez", "/readyz"})


@dataclass(frozen=True)
class Door:
    """What opens the pages; one without a password and a token is not locked."""

    user: str = "kpi"
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)

    @classmethod
    def of(cls, settings: Settings) -> "Door":
        """The door that the settings want."""
        return cls(settings.web_user, settings.web_password.get_secret_value(), settings.web_token.get_secret_value())

    @property
    def locked(self) -> bool:
        """Whether there is anything to ask for."""
        return bool(self.password or self.token)

    @property
    def challenge(self) -> str:
        """What to answer in `WWW-Authenticate`: browsers ask for a password where there is one."""
        return 'Basic realm="kpi_app", charset="UTF-8"' if self.password else 'Bearer realm="kpi_app"'

    def opens(self, authorization: str) -> bool:
        """Whether a request with this `Authorization` is let in. Takes the same time whatever is wrong with it."""
        scheme, _, credentials = authorization.strip().partition(" ")
        if scheme.lower() == "bearer":
            return _same(credentials.strip(), self.token)
        if scheme.lower() == "basic":
            return _same(_decoded(credentials.strip()), self.password and f"{self.user}:{self.password}")
        return False


def _decoded(credentials: str) -> str:
    """User and password as RFC 7617 has them; nothing where it is something else."""
    try:
        return base64.b64decode(credentials, validate=True).decode()
    except (binascii.Error, ValueError):
        return ""


def _same(given: str, wanted: str) -> bool:
    # Hashed, so that not even the length shows; nothing opens a door that has no such key.
    digests = (hashlib.sha256(text.encode(errors="surrogateescape")).digest() for text in (given, wanted))
    return hmac.compare_digest(*digests) and wanted != ""
