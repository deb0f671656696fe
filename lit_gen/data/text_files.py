"""Text files of lists and tables, in the encodings in which people save them."""

import codecs
from pathlib import Path

from lit_gen.errors import UserError


def read_text(path: Path) -> str:
    """Return the text of a file in UTF-8, or UTF-16 as some editors save it, with or without a byte order mark.

    Raises:
        UserError: the file cannot be read, or has another encoding; the message names the line.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}. Correct its permissions.") from error
    # Of a text that begins with an ASCII character.
    encoding = {0: "utf-16-be", 1: "utf-16-le"}.get(content[:2].find(0), "utf-8-sig")
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        row = content[: error.start].count(b"\n") + 1
        raise UserError(
            f"cannot read {path}, row {row}: the byte 0x{content[error.start]:02x} is not UTF-8. Save it as UTF-8."
        ) from error
