"""Measures DiskCache in the folder that is given, as told line by line on standard input.

A request is a JSON object with what to "do"; the answer has "ns", a list of times for each kind of operation.
"""

import json
import random
import sys
from time import perf_counter_ns as clock

from diskcache import Cache

# What oteapi's DataCache gives its entries.
LIFETIME = 14 * 86400
# The limit of 1 GB by default would have it evict what is to be measured.
LIMIT = 2**44


def open_cache(folder):
    return Cache(folder, size_limit=LIMIT)


def value(number, size):
    return number.to_bytes(8, "little") + b"." * (size - 8)


def fill(cache, request):
    size, entries = request["size"], request["entries"]
    for begin in range(0, entries, 10_000):
        with cache.transact():
            for number in range(begin, min(begin + 10_000, entries)):
                cache.set(f"entry-{number}", value(number, size), expire=LIFETIME)
    return {}


def get(cache, request):
    entries, ops = request["entries"], request["ops"]
    times = []
    for _ in range(ops + ops // 10):
        key = f"entry-{random.randrange(entries)}"
        begun = clock()
        found = cache.get(key)
        times.append(clock() - begun)
        if found is None:
            raise KeyError(key)
    return {"get": times[ops // 10 :]}


def set_(cache, request):
    entries, ops, size = request["entries"], request["ops"], request["size"]
    times = []
    for number in range(ops + ops // 10):
        key, content = f"entry-{random.randrange(entries)}", value(number, size)
        begun = clock()
        cache.set(key, content, expire=LIFETIME)
        times.append(clock() - begun)
    return {"set": times[ops // 10 :]}


def open_(cache, request):
    entries, ops = request["entries"], request["ops"]
    folder, times = cache.directory, []
    for _ in range(ops + ops // 10):
        key = f"entry-{random.randrange(entries)}"
        begun = clock()
        with open_cache(folder) as other:
            found = other.get(key)
        times.append(clock() - begun)
        if found is None:
            raise KeyError(key)
    return {"open": times[ops // 10 :]}


def storm(cache, request):
    """90% get, 9% set, 1% delete, as in DiskCache's own benchmark."""
    keys, size = request["keys"], request["size"]
    random.seed(request["seed"])
    times = {"get": [], "set": [], "delete": []}
    lost = 0
    for number in range(request["ops"]):
        key, die = f"entry-{random.randrange(keys)}", random.random()
        verb = "get" if die < 0.90 else "set" if die < 0.99 else "delete"
        content = value(number, size)
        begun = clock()
        try:
            if verb == "get":
                cache.get(key)
            elif verb == "set":
                cache.set(key, content, expire=LIFETIME)
            else:
                cache.delete(key)
        except Exception:
            lost += 1
        times[verb].append(clock() - begun)
    return {**times, "lost": [lost]}


def add(cache, request):
    path = request["path"]
    if request["way"] == "memory":
        with open(path, "rb") as file:
            content = file.read()
        begun = clock()
        cache.set("large", content, expire=LIFETIME)
    else:
        begun = clock()
        with open(path, "rb") as file:
            cache.set("large", file, expire=LIFETIME, read=True)
    took = clock() - begun
    cache.delete("large")
    return {"add": [took]}


VERBS = {"fill": fill, "get": get, "set": set_, "open": open_, "storm": storm, "add": add}


def main():
    with open_cache(sys.argv[1]) as cache:
        print(json.dumps({}), flush=True)
        for line in sys.stdin:
            request = json.loads(line)
            try:
                answer = {"ns": VERBS[request["do"]](cache, request)}
            except Exception as error:
                answer = {"failed": f"DiskCache: {error!r}"}
            print(json.dumps(answer), flush=True)


main()
