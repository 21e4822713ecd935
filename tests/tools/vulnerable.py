"""A small shop whose page is open to SQL injection: what sqlmap is for."""

import html
import sqlite3
import urllib.parse

from tests.tools.pages import Page

SECRET = "a-password-behind-the-agent"
GOODS = {1: "lamp", 2: "table", 3: "chair"}


class Shop(Page):
    """``/item?id=1`` shows what the database says; the id goes into the statement as it came."""

    def do_GET(self) -> None:
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        database = _database()
        try:
            rows = database.execute(f"SELECT name FROM goods WHERE id = {query.get('id', ['1'])[0]}").fetchall()
        except sqlite3.Error as error:
            self.answer(f"<p>{html.escape(str(error))}</p>", 500)
        else:
            self.answer("".join(f"<p>{html.escape(str(name))}</p>" for (name,) in rows) or "<p>nothing</p>")
        finally:
            database.close()


def _database() -> sqlite3.Connection:
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE goods (id INTEGER, name TEXT)")
    database.executemany("INSERT INTO goods VALUES (?, ?)", GOODS.items())
    database.execute("CREATE TABLE users (login TEXT, password TEXT)")
    database.execute("INSERT INTO users VALUES ('admin', ?)", (SECRET,))
    return database
