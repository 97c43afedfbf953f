#!/usr/bin/env bash
# Asks a service with curl what a user would: what a digit is, and whether the geometry of
# each layer still holds.
#
#   tests/acceptance/ask_service.sh URL IMAGE LABEL LAYER ...
#
# URL is such as http://127.0.0.1:8000, of a service with a model `digits`; LABEL is what
# IMAGE shows. Prints what the service says, and fails where it says something else.
set -euo pipefail
url=$1 image=$2 label=$3
shift 3
model=$url/v2/models/digits

ask() { # with arguments of curl; what is no success goes to the standard error
    local body
    if body=$(curl --silent --show-error --fail-with-body --max-time 10 "$@"); then
        echo "$body"
    else
        echo "$body" >&2
        return 1
    fi
}

read_json() { # read_json EXPRESSION [ARGUMENT ...]: of `answer`, and `given` the arguments
    python3 -c "import json, sys; answer = json.load(sys.stdin); given = sys.argv[1:]
$1" "${@:2}"
}

ask "$url/v2/health/ready" >/dev/null

answer=$(ask --form "image=@$image" "$model/predict")
read_json '
best = answer["predictions"][0]
print("predicted:", best["label"], "score", best["score"])
assert best["label"] == given[0], answer' "$label" <<<"$answer"

answer=$(ask "$model/geometry")
read_json '
found = {layer["name"]: layer["products"]["pooled"] for layer in answer["layers"]}
print("at the export, r by layer:", found)
assert list(found) == given, answer
assert all(0 < r <= 1 for r in found.values()), answer' "$@" <<<"$answer"

# Live requests are measured aside, when there is time.
for _ in $(seq 40); do
    answer=$(ask "$model/geometry/live")
    samples=$(read_json 'print(answer["samples"])' <<<"$answer")
    [[ $samples == 0 ]] || break
    sleep 0.25
done
read_json '
found = {layer["name"]: layer["live"]["correlation"] for layer in answer["layers"]}
print("live, r by layer:", found)
assert answer["samples"] > 0, answer
assert list(found) == given, answer
assert all(0 < r <= 1 for r in found.values()), answer' "$@" <<<"$answer"
