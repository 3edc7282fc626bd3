"""Reads tools/rooms.txt: for each room, the rooms and the third-party headers it may include."""
import os

TABLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "rooms.txt")


def read(path=TABLE):
    """{room: ([rooms it sees], [header prefixes it may use])} in the order of the table."""
    rooms = {}
    with open(path, encoding="utf-8") as table:
        for line in table:
            line = line.split("#", 1)[0].strip()
            if line:
                room, rest = line.split(":", 1)
                seen, headers = (rest.split("|", 1) + [""])[:2]
                rooms[room.strip()] = (seen.split(), headers.split())
    return rooms
