#!/usr/bin/env bash
# Runs a command with a Docker engine, buildx and compose: the machine's own where one
# runs, else one started here for the time of the command.
#
#   .ci/with-docker.sh FOLDER COMMAND [ARGUMENT ...]
#
# FOLDER keeps what was downloaded and built, from 1 GB on, for the next call. Starting
# an engine needs root on Debian 12, but no service manager and no image registry: the
# programs are unpacked from Debian's packages and not installed, and the base image is
# made of Debian's packages too. This engine changes no firewall, so its default network
# leads nowhere: build with `--network host`, and publish on 127.0.0.1.
set -euo pipefail

base_image=python:3.11-slim-bookworm
compose_release=trixie # Debian 12 has no compose 2

say() { echo "with-docker: $*" >&2; }

has_engine() { docker version && docker compose version && docker buildx version; }

# ---- what has to be downloaded ----------------------------------------------------

debian_mirror() { # where this machine gets this release's packages from
    apt-get indextargets --format '$(REPO_URI)' \
        'Created-By: Packages' 'Codename: bookworm' 'Component: main' | head -n 1
}

install_tools() {
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends \
        iptables mmdebstrap runc >/dev/null
}

apt_of_release() { # apt-get over another release, without touching the machine's lists
    apt-get -qq -o Dir::Etc::SourceList=/dev/null \
        -o "Dir::Etc::SourceParts=$folder/apt" -o "Dir::State::Lists=$folder/apt/lists" \
        -o "Dir::Cache=$folder/apt/cache" -o APT::Sandbox::User=root "$@"
}

unpack_programs() { # into $folder/programs, whole or not at all
    local unpacked=$folder/programs.part package
    rm -rf "$unpacked" "$folder/apt" "$folder/packages"
    mkdir -p "$unpacked" "$folder/packages" \
        "$folder"/apt/{lists/partial,cache/archives/partial}
    cat >"$folder/apt/release.sources" <<SOURCES
Types: deb
URIs: $(debian_mirror)
Suites: $compose_release
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCES
    apt_of_release update
    (
        cd "$folder/packages"
        apt-get -qq -o APT::Sandbox::User=root download containerd docker.io libsubid4 tini
        apt_of_release download docker-buildx docker-compose
    )
    for package in "$folder"/packages/*.deb; do
        dpkg -x "$package" "$unpacked"
    done
    rm -rf "$folder/apt" "$folder/packages"
    mv "$unpacked" "$folder/programs"
}

unpack_base() { # without manuals and translations, as the registry's
    mmdebstrap --quiet --variant=minbase \
        --include=ca-certificates,python3,python3-pip,python3-venv \
        --aptopt='Acquire::Languages "none"' --dpkgopt=force-unsafe-io \
        --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/info/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/man/*' \
        bookworm "$folder/base.part.tar" "$(debian_mirror)"
    mv "$folder/base.part.tar" "$folder/base.tar"
}

prepare() { # both at once: one waits for the network while the other unpacks
    local program=$folder/programs/usr/sbin/dockerd tasks=() task
    [[ -x $program && -f $folder/base.tar ]] && return
    say "downloading the engine into $folder"
    install_tools
    trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
    if [[ ! -f $folder/base.tar ]]; then
        unpack_base &
        tasks+=($!)
    fi
    if [[ ! -x $program ]]; then
        unpack_programs &
        tasks+=($!)
    fi
    for task in "${tasks[@]}"; do
        wait "$task"
    done
}

# ---- the engine -------------------------------------------------------------------

start_engine() {
    # Paths of sockets must be short, whatever the name of $folder.
    state=$(mktemp -d /tmp/engine.XXXXXX)
    mkdir -p "$folder/data" "$state/client/cli-plugins"
    ln -s "$folder"/programs/usr/libexec/docker/cli-plugins/* "$state/client/cli-plugins/"
    export PATH=$folder/programs/usr/bin:$folder/programs/usr/sbin:$PATH
    export DOCKER_HOST=unix://$state/engine.sock DOCKER_CONFIG=$state/client
    export DOCKER_BUILDKIT=1
    unset DOCKER_CONTEXT
    LD_LIBRARY_PATH=$(echo "$folder"/programs/usr/lib/*-linux-gnu) \
        dockerd --host "$DOCKER_HOST" --data-root "$folder/data" --exec-root "$state/run" \
        --pidfile "$state/engine.pid" --bridge none --iptables=false --ip6tables=false \
        --ip-forward=false --ip-masq=false >"$folder/engine.log" 2>&1 9>&- &
    engine=$!
    trap stop_engine EXIT
    trap 'exit 130' INT TERM HUP
    for _ in $(seq 120); do
        if docker version >/dev/null 2>&1; then
            return
        fi
        kill -0 "$engine" 2>/dev/null || break
        sleep 0.5
    done
    say "the engine did not start; the end of $folder/engine.log:"
    tail -n 20 "$folder/engine.log" >&2
    exit 1
}

stop_engine() {
    kill "$engine" 2>/dev/null || true # it stops its containers first
    wait "$engine" 2>/dev/null || true
    umount "$state/run/netns/default" 2>/dev/null || true
    rm -rf "$state" || true
}

make_base_image() {
    local context=$state/base
    mkdir "$context"
    ln "$folder/base.tar" "$context/" 2>/dev/null || cp "$folder/base.tar" "$context/"
    # Those that the clients of this machine trust.
    cp /etc/ssl/certs/ca-certificates.crt "$context/"
    cat >"$context/Dockerfile" <<'DOCKERFILE'
FROM scratch
ADD base.tar /
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
RUN rm -f /usr/lib/python3.11/EXTERNALLY-MANAGED \
    && ln -s /usr/bin/python3 /usr/local/bin/python
CMD ["python3"]
DOCKERFILE
    docker build --quiet --network host --tag "$base_image" "$context" >/dev/null
}

# ---- running it -------------------------------------------------------------------

if [[ $# -lt 2 ]]; then
    sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
if has_engine >/dev/null 2>&1; then
    shift
    exec "$@"
fi
if [[ $EUID != 0 ]] || ! grep -qs '^VERSION_CODENAME=bookworm' /etc/os-release; then
    say "no Docker engine with buildx and compose answers here, and starting one needs" \
        "root on Debian 12. Install Docker, or see that you may use it (\`docker info\`)."
    exit 69
fi
folder=$(mkdir -p "$1" && cd "$1" && pwd)
shift
exec 9>"$folder/lock"
flock --nonblock 9 || {
    say "another call is using $folder. Wait for it, or name another folder."
    exit 1
}
prepare 9>&-
start_engine
say "$(docker version --format 'client {{.Client.Version}}, engine {{.Server.Version}}')"
docker image inspect "$base_image" >/dev/null 2>&1 || make_base_image
"$@" 9>&-
