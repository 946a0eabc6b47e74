"""A second reader of Backstay's repository format, written from docs/format.md alone. It checks all that it reads.

usage: decode.py REPOSITORY SECRET check            read and verify every object, record, tree and file of every snapshot
       decode.py REPOSITORY SECRET ls SNAPSHOT      list a snapshot's items (any unique start of its id)
       decode.py REPOSITORY SECRET cat SNAPSHOT PATH > FILE
SECRET is password:TEXT or key-file:PATH; REPOSITORY is a local copy of the repository's objects.
needs: pip install blake3 cryptography zstandard
"""
import json, os, struct, sys
from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
import zstandard

DICTIONARY = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../crates/format/src/dictionaries/kubernetes-json-1.zdict')
KINDS = {1: 'data chunk', 2: 'tree node', 3: 'content node', 4: 'ledger chunk'}
ZEROS = bytes(12)


class Damage(Exception):
    pass


def need(condition, what):
    if not condition:
        raise Damage(what)


def digest(data):
    return blake3(data).digest()


def keyed(key, *parts):
    return blake3(b''.join(parts), key=key).digest()


def derive(context, material):
    return blake3(material, derive_key_context=context).digest()


def decompress(codec, dictionary, body, length):
    if codec == 0:
        plain = body
    else:
        need(codec in (1, 2) and (codec == 1 or dictionary == 1), f'codec {codec} with dictionary {dictionary}')
        words = zstandard.ZstdCompressionDict(open(DICTIONARY, 'rb').read()) if codec == 2 else None
        plain = zstandard.ZstdDecompressor(dict_data=words).decompress(body, max_output_size=length)
    need(len(plain) == length, 'a body of another length than its header says')
    return plain


# Sections 2 to 4: keys, config, key slots.

class Keys:
    def __init__(self, master, repository):
        material = master + repository
        self.names = {kind: derive(f'backstay v1 name of a {name}', material) for kind, name in KINDS.items()}
        self.records = derive('backstay v1 sealing of records', material)
        self.envelopes = derive('backstay v1 sealing of envelopes', material)
        self.boundary = derive('backstay v1 boundaries of tree nodes', material)
        self.config = derive('backstay v1 authentication of the config', material)
        self.gear_seed = derive('backstay v1 gear table', material)

    def name(self, kind, plain):
        return keyed(self.names[kind], plain)

    def salted(self, kind, salt):
        return AESGCM(keyed(self.envelopes, bytes([kind]), salt))

    def gear(self):
        return struct.unpack('<256Q', blake3(b'', key=self.gear_seed).digest(length=2048))

    def boundary_hash(self, level, key):
        return struct.unpack('<Q', keyed(self.boundary, bytes([level]), key)[:8])[0]


def text_object(data, second):
    """The document and the value of the second line."""
    lines = data.split(b'\n')
    need(len(lines) == 4 and lines[3] == b'', 'a text object has three lines')
    need(lines[2] == b'blake3 ' + digest(lines[0] + b'\n' + lines[1] + b'\n').hex().encode(), 'the hash line')
    need(lines[1].startswith(second.encode() + b' '), f'the line {second}')
    return lines[0], bytes.fromhex(lines[1][len(second) + 1:].decode())


def open_slot(data, secret):
    document, sealed = text_object(data, 'sealed')
    slot = json.loads(document)
    salt, how = bytes.fromhex(slot['salt']), slot['derivation']
    kind, _, value = secret.partition(':')
    if kind == 'password' and how['function'] == 'argon2id':
        key = Argon2id(salt=salt, length=32, iterations=how['passes'], lanes=how['lanes'], memory_cost=how['memory_kib']).derive(value.encode())
    elif kind == 'key-file' and how['function'] == 'blake3':
        key = derive('backstay v1 key file', salt + open(value, 'rb').read())
    else:
        return None
    try:
        return AESGCM(key).decrypt(ZEROS, sealed, document)
    except Exception:
        return None


# Section 5: envelopes.

def open_envelope(keys, kind, context, data):
    need(data[:8] == b'BKSTENVL' and data[8] == 1 and data[9] == kind and data[11] == 0, f'the header of an envelope of kind {kind}')
    need(digest(data[:-32]) == data[-32:], 'the hash of an envelope')
    plain = keys.salted(kind, data[16:48]).decrypt(ZEROS, data[48:-32], data[:48] + context)
    return decompress(data[10], 0, plain, struct.unpack('<I', data[12:16])[0])


# Sections 6 and 7: records and packs.

def open_record(keys, pack, offset, expected):
    header = pack[offset:offset + 64]
    magic, kind, codec, dictionary, epoch, raw, sealed = struct.unpack('<4sBBBBII', header[:16])
    need(magic == b'BsRc' and epoch == 0 and digest(header[:60])[:4] == header[60:], 'a record header')
    id = header[16:48]
    need(id == expected, 'a record where another one should be')
    body = pack[offset + 64:offset + 64 + sealed]
    plain = AESGCM(keyed(keys.records, id)).decrypt(header[48:60], body, header[:48])
    plain = decompress(codec, dictionary, plain, raw)
    need(keys.name(kind, plain) == id, 'the contents of a record')
    return kind, plain


def directory(keys, pack):
    need(pack[:8] == b'BKSTPACK' and pack[8] == 1 and pack[10] == 0, 'the header of a pack')
    offset, length, count, _, check, magic = struct.unpack('<IIII8s8s', pack[-32:])
    need(magic == b'BKSTPEND' and digest(pack[-32:-16])[:8] == check and offset + length == len(pack) - 32, 'the footer of a pack')
    rows = keys.salted(0x44, pack[16:32]).decrypt(ZEROS, pack[offset:offset + length], pack[:32])
    need(len(rows) == count * 48, 'the length of a directory')
    return [struct.unpack('<32sIIIB3x', rows[at:at + 48]) for at in range(0, len(rows), 48)]


def scan(pack):
    """The same rows from the clear headers alone."""
    rows, at = [], 32
    while at + 64 <= len(pack):
        header = pack[at:at + 64]
        kind, raw, sealed = header[4], *struct.unpack('<II', header[8:16])
        if header[:4] == b'BsRc' and digest(header[:60])[:4] == header[60:] and at + 64 + sealed <= len(pack):
            rows.append((header[16:48], at, 64 + sealed, raw, kind))
            at += 64 + sealed
        else:
            at = pack.find(b'BsRc', at + 1)
            if at < 0:
                break
    return rows


# Section 8: index segments.

def read_segment(plain):
    version, packs, base, entries = struct.unpack('<IIQQ', plain[:24])
    need(version == 1 and len(plain) == 24 + 48 * (packs + entries), 'the length of a segment')
    rows = [struct.unpack('<32sQB7x', plain[at:at + 48]) for at in range(24, 24 + 48 * packs, 48)]
    places = [struct.unpack('<32sIIII', plain[at:at + 48]) for at in range(24 + 48 * packs, len(plain), 48)]
    need(all(a < b for a, b in zip(places, places[1:])), 'the order of a segment')
    return base, rows, places


# Sections 11 and 12: nodes.

class Cursor:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        need(self.at + count <= len(self.data), 'a node that is cut off')
        self.at += count
        return self.data[self.at - count:self.at]

    def varint(self):
        value = 0
        for index in range(10):
            byte = self.take(1)[0]
            value |= (byte & 127) << (7 * index)
            if byte < 128:
                need((index == 0 or byte) and value < 1 << 64, 'a number in its shortest form')
                return value
        raise Damage('a number of more than ten bytes')

    def zigzag(self):
        value = self.varint()
        return (value >> 1) ^ -(value & 1)

    def bytes(self):
        return self.take(self.varint())

    def finish(self):
        need(self.at == len(self.data), 'bytes too many')


def node(plain, level):
    version, found, _, count, ids, contents, strings = struct.unpack('<BBHIIII', plain[:20])
    need(version == 1 and found == level, 'the version or level of a node')
    cursor = Cursor(plain)
    cursor.take(20)
    tables = [cursor.take(32) for _ in range(ids)], [cursor.take(32) for _ in range(contents)], [cursor.bytes().decode() for _ in range(strings)]
    return cursor, count, tables


def node_keys(cursor, count):
    key = None
    for _ in range(count):
        shared, before = cursor.varint(), key or b''
        need(shared <= len(before), 'a key that shares more than there is')
        new = before[:shared] + cursor.bytes()
        need(key is None or new > key, 'the order of keys')
        key = new
        yield key


def extent(cursor, tables):
    """(id or None, offset, length)"""
    head = cursor.varint()
    if head & 3 == 0:
        return tables[0][cursor.varint()], 0, head >> 2
    if head & 3 == 1:
        return tables[0][cursor.varint()], cursor.varint(), head >> 2
    need(head == 2, 'the type of an extent')
    return None, 0, cursor.varint()


class Item:
    def __init__(self, key, body, tables):
        self.key, cursor = key, Cursor(body)
        self.type, self.flags = cursor.take(1)[0], cursor.varint()
        need(1 <= self.type <= 7 and self.flags < 128, 'the type or flags of an item')
        self.mode, self.uid, self.gid = cursor.varint(), cursor.varint(), cursor.varint()
        self.user = tables[2][cursor.varint()] if self.flags & 1 else None
        self.group = tables[2][cursor.varint()] if self.flags & 2 else None
        self.modified = cursor.zigzag(), cursor.varint()
        self.changed = self.modified if self.flags & 8 else (cursor.zigzag(), cursor.varint())
        self.inode, self.size, self.extents, self.root = cursor.varint(), 0, [], None
        if self.type == 2:
            self.size, head = cursor.varint(), cursor.varint()
            if head & 1:
                self.root = head >> 1, tables[1][cursor.varint()], cursor.varint(), cursor.varint()
                need(self.root[2] == self.size, 'the size of a file')
            else:
                self.extents = [extent(cursor, tables) for _ in range(head >> 1)]
                need(sum(part[2] for part in self.extents) == self.size, 'the size of a file')
            self.hash = cursor.take(16) if self.flags & 16 else None
        elif self.type in (3, 7):
            self.target = cursor.bytes()
        elif self.type in (5, 6):
            self.device = cursor.varint(), cursor.varint()
        self.xattrs = [(cursor.bytes(), cursor.bytes()) for _ in range(cursor.varint() if self.flags & 4 else 0)]
        self.extensions = [(cursor.varint(), cursor.bytes()) for _ in range(cursor.varint() if self.flags & 64 else 0)]
        cursor.finish()

    def path(self):
        return self.key.replace(b'\0', b'/').decode(errors='replace')


class Repository:
    def __init__(self, folder, secret):
        self.folder = folder
        self.segments, self.snapshots, self.places = {}, {}, {}
        document, mac = text_object(self.get('config'), 'mac')
        self.config = json.loads(document)
        need(self.config['format_version'] == 1 and not self.config['features'].get('incompatible'), 'a format that is known')
        slots = [self.get(name) for name in self.list('keys')]
        master = next((key for key in (open_slot(slot, secret) for slot in slots) if key), None)
        need(master, 'a key slot that opens with this secret')
        self.keys = Keys(master, bytes.fromhex(self.config['repository']))
        need(keyed(self.keys.config, document) == mac, 'the authentication of the config')
        self.read_log()
        for id, base in self.segments.items():
            data = self.get(f'index/{id}')
            need(digest(data).hex() == id, f'the name of segment {id}')
            found, packs, places = read_segment(open_envelope(self.keys, 1, b'', data))
            need(found == base, 'the base of a segment')
            for chunk, pack, offset, _, _ in places:
                if self.retired.get(packs[pack][0].hex(), 0) <= base:
                    self.places.setdefault(chunk, (packs[pack][0].hex(), offset))

    def get(self, name):
        with open(os.path.join(self.folder, name), 'rb') as file:
            return file.read()

    def list(self, under):
        found = []
        for folder, _, names in os.walk(os.path.join(self.folder, under)):
            found += [os.path.relpath(os.path.join(folder, name), self.folder) for name in names]
        return sorted(found)

    def read_log(self):
        self.retired, forgotten, previous, slot = {}, {}, None, 1
        for name in self.list('log'):
            need(name == f'log/{slot // 4096:08x}/{slot:016x}', f'log entry {slot}')
            data = self.get(name)
            entry = json.loads(open_envelope(self.keys, 2, struct.pack('<Q', slot), data))
            need(entry['slot'] == slot and entry.get('previous') == previous, f'the place of log entry {slot}')
            change = entry['change']
            for id in change.get('snapshots_forgotten', []):
                if id in self.snapshots:
                    forgotten[id] = self.snapshots.pop(id)
            for id in change.get('snapshots_restored', []):
                self.snapshots[id] = forgotten.pop(id)
            for snapshot in change.get('snapshots_added', []):
                self.snapshots[snapshot['id']] = snapshot
            for amendment in change.get('snapshots_amended', []):
                self.snapshots.get(amendment['snapshot'], {}).update(amendment)
            for id in change.get('segments_removed', []):
                self.segments.pop(id, None)
            for segment in change.get('segments_added', []):
                self.segments[segment['id']] = segment['base']
            for id in change.get('packs_retired', []):
                self.retired[id] = slot
            previous, slot = digest(data).hex(), slot + 1

    def read(self, id, kind):
        need(id in self.places, f'a place for {KINDS[kind]} {id.hex()}')
        pack, offset = self.places[id]
        found, plain = open_record(self.keys, self.get(f'packs/{pack[:2]}/{pack}'), offset, id)
        need(found == kind, 'the kind of a record')
        return plain

    def items(self, id, level):
        cursor, count, tables = node(self.read(id, 2), level)
        if level == 0:
            yield from [Item(key, cursor.bytes(), tables) for key in node_keys(cursor, count)]
        else:
            for index, (key, below) in enumerate([(key, cursor.varint()) for key in node_keys(cursor, count)]):
                items = list(self.items(tables[0][index], level - 1))
                need(len(items) == below and items[0].key == key, 'what an inner node says of a child')
                yield from items
        cursor.finish()

    def extents(self, level, id, length, number):
        cursor, count, tables = node(self.read(id, 3), level)
        if level == 0:
            parts = [extent(cursor, tables) for _ in range(count)]
        else:
            children = [(tables[1][cursor.varint()], cursor.varint(), cursor.varint()) for _ in range(count)]
            parts = [part for child in children for part in self.extents(level - 1, *child)]
        cursor.finish()
        need(sum(part[2] for part in parts) == length and len(parts) == number, 'the sums of a content node')
        return parts

    def contents(self, item, hole):
        """The parts of a file's bytes; `hole` says what stands for zeros."""
        for id, offset, length in self.extents(*item.root) if item.root else item.extents:
            if id is None:
                yield hole(length)
            else:
                part = self.read(id, 1)[offset:offset + length]
                need(len(part) == length, 'the length of an extent')
                yield part

    def snapshot(self, start):
        found = [snapshot for id, snapshot in self.snapshots.items() if id.startswith(start)]
        need(len(found) == 1, f'one snapshot that starts with {start}')
        return found[0]

    def snapshot_items(self, snapshot):
        tree = snapshot['tree']
        items = list(self.items(bytes.fromhex(tree['root']), tree['level']))
        need(len(items) == tree['items'], 'the number of items')
        return items

    def audit(self, name):
        """What an audit left: verdicts as (pack, depth, time, good), or what is damaged."""
        stored = self.get(name)
        if name.startswith('audit/scrub-'):
            first, *lines, last = stored.decode().splitlines()
            need(first == 'backstay audit 1', f'the first line of {name}')
            need(last == 'blake3 ' + digest(stored[:-len(last) - 1]).hex(), f'the hash of {name}')
            rows = [(pack, 1, int(time), ['bad', 'good'].index(word)) for pack, word, time in map(str.split, lines)]
        elif name.startswith('audit/check-'):
            body = open_envelope(self.keys, 4, name.encode(), stored)
            need(struct.unpack('<II', body[:8]) == (1, (len(body) - 8) / 48), f'the rows of {name}')
            parts = [struct.unpack('<32sQBB6x', body[at:at + 48]) for at in range(8, len(body), 48)]
            rows = [(pack.hex(), depth, time, good) for pack, time, depth, good in parts]
        else:
            body = open_envelope(self.keys, 5, b'', stored)
            version, packs, records, snapshots = struct.unpack('<IIII', body[:16])
            need(version == 1 and len(body) == 16 + 48 * packs + 32 * records + 16 * snapshots, f'the length of {name}')
            counts = [struct.unpack('<I', body[at + 32:at + 36])[0] for at in range(16, 16 + 48 * packs, 48)]
            need(sum(count for count in counts if count != 0xffffffff) == records, f'the records of {name}')
            return
        need(rows == sorted(rows, key=lambda row: row[:2]), f'the order of {name}')

    def checkpoint(self, name):
        """What a checkpoint says of its entry's hash, and its segments: the log that was read says the same."""
        slot = int(name.split('/')[1], 16)
        body = open_envelope(self.keys, 6, struct.pack('<Q', slot), self.get(name))
        version, length = struct.unpack('<II', body[:8])
        document, at = json.loads(body[8:8 + length]), 8 + length
        need(version == 1 and document['slot'] == slot, f'the head of {name}')
        need(document['hash'] == digest(self.get(f'log/{slot // 4096:08x}/{slot:016x}')).hex(), f'the entry of {name}')
        for table in range(5):
            rows, at = struct.unpack('<I', body[at:at + 4])[0], at + 4
            ids = [body[row:row + 32] for row in range(at, at + 40 * rows, 40)]
            need(ids == sorted(set(ids)), f'the order of table {table + 1} of {name}')
            at += 40 * rows
        need(at == len(body), f'the length of {name}')
        if f'log/{slot // 4096:08x}/{slot:016x}' == self.list('log')[-1]:
            need([listed['record']['id'] for listed in document['listed']] == sorted(self.snapshots), f'the snapshots of {name}')
            need([segment['id'] for segment in document['segments']] == sorted(self.segments), f'the segments of {name}')

    def check(self):
        records = 0
        for name in self.list('packs'):
            pack = self.get(name)
            need(name == f'packs/{digest(pack).hex()[:2]}/{digest(pack).hex()}', f'the name of {name}')
            rows = directory(self.keys, pack)
            need(rows == scan(pack), f'the directory of {name}')
            for id, offset, _, raw, kind in rows:
                found, plain = open_record(self.keys, pack, offset, id)
                need((found, len(plain)) == (kind, raw), 'a row of a directory')
                records += 1
        for name in self.list('writers'):
            json.loads(open_envelope(self.keys, 3, bytes.fromhex(name.split('/')[1]), self.get(name)))
        for name in self.list('audit'):
            self.audit(name)
        for name in self.list('ckpt'):
            self.checkpoint(name)
        for id, snapshot in self.snapshots.items():
            items = self.snapshot_items(snapshot)
            for item in items:
                parts = [part for part in self.contents(item, lambda length: b'')]
                if item.type == 2 and item.hash:
                    need(self.keys.name(1, b''.join(parts))[:16] == item.hash, 'the content hash of a file')
            ledger = b''.join(self.read(bytes.fromhex(chunk), 4) for chunk in snapshot.get('ledger', {}).get('chunks', []))
            lines = [json.loads(line) for line in ledger.splitlines()]
            print(f"snapshot {id}: {len(items)} items, {len(lines)} ledger lines, all read")
        print(f'{records} records in {len(self.list("packs"))} packs, all as their names say')


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    repository, command, rest = Repository(sys.argv[1], sys.argv[2]), sys.argv[3], sys.argv[4:]
    if command == 'check':
        repository.check()
    elif command == 'ls':
        for item in repository.snapshot_items(repository.snapshot(rest[0])):
            print(f'{" dflpcbh"[item.type]}{item.mode:04o} {item.uid} {item.gid} {item.size} {item.modified[0]} /{item.path()}')
    elif command == 'cat':
        wanted = rest[1].strip('/').encode().replace(b'/', b'\0')
        item = next((item for item in repository.snapshot_items(repository.snapshot(rest[0])) if item.key == wanted), None)
        need(item, f'an item {rest[1]}')
        for part in repository.contents(item, bytes):
            sys.stdout.buffer.write(part)
    else:
        sys.exit(__doc__)


if __name__ == '__main__':
    try:
        main()
    except Damage as error:
        sys.exit(f'error: expected {error}')
