#!/usr/bin/env python3
"""What `cargo xtask bench cluster` does to a cluster itself, and measures Backstay against. Needs nothing but Python 3.10.

usage: cluster.py KUBECONFIG load N           fill it with N objects of eleven kinds in 40 namespaces
       cluster.py KUBECONFIG list             GET every listable resource once, on one connection, and drop the answers
       cluster.py KUBECONFIG size             objects and bytes of those answers, alone and through gzip -6
       cluster.py KUBECONFIG change PERCENT WORD  write WORD into an annotation of so many of the objects, as somebody else
       cluster.py KUBECONFIG create PREFIX    create all objects again in namespaces called PREFIX-0, PREFIX-1, ... (8 connections)

Prints one line of JSON; `seconds` is the work alone, without looking for what to do. KUBECONFIG is one that `cluster-up` printed:
a bearer token, and a file with the authority's certificate. Requests are written as bytes and answers barely looked at, so that the
server is measured and not Python.
"""
import base64, json, multiprocessing, random, re, socket, ssl, sys, time, urllib.parse, zlib

NAMESPACES = 40
PREFIX = "team"
CONNECTIONS = 8
# From here on services are headless: what a server does to find a free address grows with their number, to hours in all.
HEADLESS_FROM = 10_000


class Connection:
    """One kept-alive connection; `send` reads the whole answer and returns its status and body."""

    def __init__(self, kubeconfig):
        text = open(kubeconfig).read()
        found = lambda pattern: re.search(pattern, text).group(1)
        url = urllib.parse.urlsplit(found(r'server: "?([^"},\s]+)'))
        context = ssl.create_default_context(cafile=found(r'certificate-authority: "?([^"},\s]+)'))
        raw = socket.create_connection((url.hostname, url.port))
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context.wrap_socket(raw, server_hostname=url.hostname)
        self.reader = self.socket.makefile("rb", buffering=1 << 18)
        self.host, self.token = url.netloc, found(r'token: "?([^"},\s]+)')

    def encode(self, method, path, body=b"", kind="application/json"):
        head = f"{method} {path} HTTP/1.1\r\nHost: {self.host}\r\nAuthorization: Bearer {self.token}\r\n"
        return f"{head}Accept: application/json\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

    def send(self, request, keep=True):
        self.socket.sendall(request)
        status, length, chunked = int(self.reader.readline().split(b" ", 2)[1]), 0, False
        while (line := self.reader.readline().lower()) != b"\r\n":
            if line.startswith(b"content-length:"):
                length = int(line[15:])
            chunked |= line.startswith(b"transfer-encoding:")
        if not chunked:
            return status, self.take(length, keep)
        parts = []
        while size := int(self.reader.readline(), 16):
            parts.append(self.take(size, keep))
            self.reader.readline()
        self.reader.readline()
        return status, b"".join(parts) if keep else sum(parts)

    def take(self, length, keep):
        if keep:
            return self.reader.read(length)
        left = length
        while left:
            left -= len(self.reader.read(min(left, 1 << 18)))
        return length

    def get(self, path):
        status, body = self.send(self.encode("GET", path))
        if status != 200:
            sys.exit(f"GET {path}: {status} {body[:300]}")
        return json.loads(body)


def listable(connection):
    """The path of every listable resource, each once, in the version that its group prefers."""
    versions = ["/api/v1"]
    versions += ["/apis/" + group["preferredVersion"]["groupVersion"] for group in connection.get("/apis")["groups"]]
    seen, paths = set(), []
    for version in versions:
        for resource in connection.get(version)["resources"]:
            # Events are served by two groups.
            if "list" in resource["verbs"] and (resource["name"] != "events" or version == "/api/v1"):
                key = (version.split("/")[2] if version.startswith("/apis/") else "", resource["name"])
                if key not in seen:
                    seen.add(key)
                    paths.append(f"{version}/{resource['name']}")
    return paths


def each_list(connection, keep):
    for path in listable(connection):
        status, body = connection.send(connection.encode("GET", path), keep)
        if status != 200:
            sys.exit(f"GET {path}: {status}")
        yield path, body


def list_once(kubeconfig):
    connection = Connection(kubeconfig)
    requests = [connection.encode("GET", path) for path in listable(connection)]
    start = time.perf_counter()
    received = sum(connection.send(request, keep=False)[1] for request in requests)
    return {"seconds": time.perf_counter() - start, "bytes": received, "requests": len(requests)}


def size(kubeconfig):
    compressor = zlib.compressobj(6, zlib.DEFLATED, 31)
    objects = received = compressed = 0
    for _, body in each_list(Connection(kubeconfig), keep=True):
        objects += len(json.loads(body).get("items") or [])
        received += len(body)
        compressed += len(compressor.compress(body))
    return {"objects": objects, "bytes": received, "gzip_bytes": compressed + len(compressor.flush())}


def loaded(kubeconfig):
    """The path below its namespace, the namespace and the JSON of every object in a namespace of the load, in the order of the lists."""
    made_by_controllers = {"endpoints", "endpointslices", "events", "leases", "pods", "replicasets"}
    for path, body in each_list(Connection(kubeconfig), keep=True):
        parsed, (version, resource) = json.loads(body), path.rsplit("/", 1)
        for item in parsed.get("items") or []:
            meta = item["metadata"]
            space = meta["name"] if path == "/api/v1/namespaces" else meta.get("namespace", "")
            ours = re.fullmatch(PREFIX + r"-\d+", space) and resource not in made_by_controllers
            if ours and meta["name"] not in ("kube-root-ca.crt", "default"):
                yield version, resource, space, item


def change(kubeconfig, percent, word):
    requests, connection = [], Connection(kubeconfig)
    every = max(1, round(100 / float(percent)))
    for number, (version, resource, space, item) in enumerate(loaded(kubeconfig)):
        if number % every == 0 and resource != "namespaces":
            body = json.dumps({"metadata": {"annotations": {"bench.example.com/changed": word}}}).encode()
            path = f"{version}/namespaces/{space}/{resource}/{item['metadata']['name']}?fieldManager=bench-change"
            requests.append(connection.encode("PATCH", path, body, "application/merge-patch+json"))
    return send_all(kubeconfig, requests)


def create(kubeconfig, prefix):
    spaces, others, connection = [], [], Connection(kubeconfig)
    for version, resource, space, item in loaded(kubeconfig):
        space, meta = prefix + space[len(PREFIX):], item["metadata"]
        for key in ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "namespace"):
            meta.pop(key, None)
        item.pop("status", None)
        if resource == "namespaces":
            item.pop("spec", None)
            item["metadata"] = {"name": space, "labels": {"team": prefix}}
            spaces.append(connection.encode("POST", f"{version}/namespaces?fieldManager=bench", json.dumps(item).encode()))
            continue
        if resource == "services" and item["spec"].get("clusterIP") != "None":
            for key in ("clusterIP", "clusterIPs"):
                item["spec"].pop(key, None)
        path = f"{version}/namespaces/{space}/{resource}?fieldManager=bench"
        others.append(connection.encode("POST", path, json.dumps(item).encode()))
    first, second = send_all(kubeconfig, spaces), send_all(kubeconfig, others)
    return {key: first[key] + second[key] for key in first}


def load(kubeconfig, count):
    connection, chance = Connection(kubeconfig), random.Random(7)
    post = lambda path, body: connection.encode("POST", f"{path}?fieldManager=bench", json.dumps(body).encode())
    spaces = [
        post("/api/v1/namespaces", {"metadata": {"name": f"{PREFIX}-{number}", "labels": {"team": PREFIX}}})
        for number in range(min(NAMESPACES, count))
    ]
    mix = list(MIX)
    weights = [MIX[kind][0] for kind in mix]
    others = []
    for number in range(count - len(spaces)):
        space, kind = f"{PREFIX}-{chance.randrange(NAMESPACES)}", chance.choices(mix, weights)[0]
        _, version, make = MIX[kind]
        body = make(chance, f"app-{number}", space)
        if kind == "services" and count >= HEADLESS_FROM:
            body["spec"]["clusterIP"] = "None"
        others.append(post(f"{version}/namespaces/{space}/{kind}", body))
    first, second = send_all(kubeconfig, spaces), send_all(kubeconfig, others)
    return {key: first[key] + second[key] for key in first}


def send_all(kubeconfig, requests):
    """Sends them over several connections of as many processes, which are connected before the time is taken."""
    ready = multiprocessing.Barrier(CONNECTIONS + 1)

    def work(mine):
        connection = Connection(kubeconfig)
        ready.wait()
        for request in mine:
            status, body = connection.send(request)
            if status not in (200, 201):
                sys.exit(f"{request.split(b' HTTP', 1)[0].decode()}: {status} {body[:300]}")

    fork = multiprocessing.get_context("fork")
    workers = [fork.Process(target=work, args=(requests[number::CONNECTIONS],)) for number in range(CONNECTIONS)]
    for worker in workers:
        worker.start()
    ready.wait()
    start = time.perf_counter()
    for worker in workers:
        worker.join()
    seconds = time.perf_counter() - start
    if any(worker.exitcode for worker in workers):
        sys.exit("not all requests succeeded")
    return {"seconds": seconds, "requests": len(requests)}


def words(chance, count):
    vocabulary = (
        "alpha bravo cart price order payment queue redis postgres http timeout retry level debug info host port 8080 true "
        "false node pool cache shard topic"
    ).split()
    return " ".join(chance.choices(vocabulary, k=count))


def metadata(chance, app, space):
    return {
        "name": app,
        "labels": {
            "app": app,
            "app.kubernetes.io/name": app,
            "app.kubernetes.io/managed-by": "Helm",
            "helm.sh/chart": f"web-1.2.{chance.randrange(30)}",
        },
        "annotations": {"meta.helm.sh/release-name": app, "meta.helm.sh/release-namespace": space},
    }


def config_map(chance, app, space):
    lines = "\n".join(words(chance, 6) for _ in range(chance.randrange(5, 120)))
    return {"metadata": metadata(chance, app, space), "data": {"application.properties": lines, "LOG_LEVEL": "info"}}


def secret(chance, app, space):
    noise = lambda length: base64.b64encode(chance.randbytes(length)).decode()
    data = {"password": noise(24), "tls.crt": noise(chance.randrange(100, 1500))}
    return {"metadata": metadata(chance, app, space), "type": "Opaque", "data": data}


def deployment(chance, app, space):
    container = {
        "name": "web",
        "image": f"registry.example.com/{app}:1.{chance.randrange(99)}",
        "ports": [{"containerPort": 8080}],
        "env": [{"name": f"VAR_{number}", "value": words(chance, 2)} for number in range(chance.randrange(3, 25))],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
        "livenessProbe": {"httpGet": {"path": "/health", "port": 8080}},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}},
    }
    template = {"metadata": {"labels": {"app": app}}, "spec": {"containers": [container]}}
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": app}}, "template": template}
    return {"metadata": metadata(chance, app, space), "spec": spec}


def service(chance, app, space):
    spec = {"selector": {"app": app}, "ports": [{"port": 80, "targetPort": 8080}]}
    return {"metadata": metadata(chance, app, space), "spec": spec}


def service_account(chance, app, space):
    return {"metadata": metadata(chance, app, space)}


def role(chance, app, space):
    rule = {"apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": ["get", "list", "watch"]}
    return {"metadata": metadata(chance, app, space), "rules": [rule]}


def role_binding(chance, app, space):
    return {
        "metadata": metadata(chance, app, space),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": app},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": space}],
    }


def ingress(chance, app, space):
    backend = {"service": {"name": app, "port": {"number": 80}}}
    rule = {"host": f"{app}.example.com", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    return {"metadata": metadata(chance, app, space), "spec": {"rules": [rule]}}


def cron_job(chance, app, space):
    pod = {"restartPolicy": "Never", "containers": [{"name": "job", "image": f"registry.example.com/{app}:1"}]}
    spec = {"suspend": True, "schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": {"spec": pod}}}}
    return {"metadata": metadata(chance, app, space), "spec": spec}


def network_policy(chance, app, space):
    spec = {"podSelector": {"matchLabels": {"app": app}}, "ingress": [{"from": [{"podSelector": {}}]}]}
    return {"metadata": metadata(chance, app, space), "spec": spec}


# How often each kind occurs, in percent, where it is served, and what makes one. Namespaces are the eleventh kind.
MIX = {
    "configmaps": (26, "/api/v1", config_map),
    "secrets": (18, "/api/v1", secret),
    "deployments": (14, "/apis/apps/v1", deployment),
    "services": (14, "/api/v1", service),
    "serviceaccounts": (8, "/api/v1", service_account),
    "roles": (5, "/apis/rbac.authorization.k8s.io/v1", role),
    "rolebindings": (5, "/apis/rbac.authorization.k8s.io/v1", role_binding),
    "ingresses": (4, "/apis/networking.k8s.io/v1", ingress),
    "networkpolicies": (4, "/apis/networking.k8s.io/v1", network_policy),
    "cronjobs": (2, "/apis/batch/v1", cron_job),
}


def main():
    match sys.argv[1:]:
        case [kubeconfig, "load", count]:
            answer = load(kubeconfig, int(count))
        case [kubeconfig, "list"]:
            answer = list_once(kubeconfig)
        case [kubeconfig, "size"]:
            answer = size(kubeconfig)
        case [kubeconfig, "change", percent, word]:
            answer = change(kubeconfig, percent, word)
        case [kubeconfig, "create", prefix]:
            answer = create(kubeconfig, prefix)
        case _:
            sys.exit(__doc__)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
