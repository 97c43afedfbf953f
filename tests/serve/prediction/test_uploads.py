import base64
import json
import re

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbnn.serve.errors import ServiceError
from kerasbnn.serve.prediction.multipart import MOST_PARTS, field_of_form
from kerasbnn.serve.prediction.uploads import MOST_VALUES, uploaded_image

IMAGE = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


def form(**parts):
    """Return body and type of a form, as httpx encodes it."""
    request = httpx.Request("POST", "http://a", **parts)
    return request.read(), request.headers["content-type"]


def refused(body, kind, status=400):
    with pytest.raises(ServiceError) as caught:
        uploaded_image(body, kind)
    assert caught.value.status == status
    return caught.value.message


def test_a_file_as_it_is():
    for kind in ("image/png", "image/jpeg", "IMAGE/PNG; q=1", "image/webp", ""):
        assert uploaded_image(IMAGE, kind) == IMAGE
    for kind in ("application/octet-stream", "application/x-www-form-urlencoded"):
        assert uploaded_image(IMAGE, kind) == IMAGE


@given(st.binary(max_size=500))
def test_any_file_in_a_form(content):
    assert uploaded_image(*form(files={"image": content})) == content


def test_a_form_with_more_in_it():
    files = {"other": b"1", "image": ("a\r\n.png", IMAGE, "text/plain")}
    assert uploaded_image(*form(files=files, data={"top": "3"})) == IMAGE
    twice = [("image", IMAGE), ("image", b"other")]
    assert uploaded_image(*form(files=twice)) == IMAGE


def test_forms_that_cannot_be_read():
    body, kind = form(files={"image": IMAGE})
    boundary = re.search("boundary=(.*)", kind)[1].encode()
    assert "no boundary" in refused(body, "multipart/form-data")
    assert "last boundary" in refused(b"", kind)
    for length in range(1, len(body) - len(b"--\r\n")):
        refused(body[:length], kind)
    assert "cannot be read" in refused(body.replace(boundary, b"x" * 32), kind)
    assert "'picture'" in refused(*form(files={"picture": IMAGE}))
    many = [(f"field-{number}", b"") for number in range(MOST_PARTS + 1)]
    assert "fields" in refused(*form(files=many))
    unnamed = b"--b\r\nContent-Type: image/png\r\n\r\n1\r\n--b--\r\n"
    assert "none" in refused(unnamed, "multipart/form-data; boundary=b")


@given(st.binary(max_size=300), st.text(max_size=30))
def test_any_form(body, boundary):
    kind = f"multipart/form-data; boundary={boundary}"
    with pytest.raises(ServiceError):
        field_of_form(body, kind, "image")


def test_base64():
    text = base64.b64encode(IMAGE).decode()
    lines = "\n".join(text[start : start + 60] for start in range(0, len(text), 60))
    for value in (text, lines, f"data:image/png;base64,{text}"):
        body = json.dumps({"image": value}).encode()
        assert uploaded_image(body, "application/json; charset=utf-8") == IMAGE
        assert uploaded_image(b" \n" + body, "") == IMAGE


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("", "no JSON"),
        ("{", "no JSON"),
        ("[" * 5000, "no JSON"),
        ("[]", "no string 'image'"),
        ("{}", "no string 'image'"),
        ('{"image": 5}', "no string 'image'"),
        ('{"image": null}', "no string 'image'"),
        ('{"image": "%%%"}', "no base64"),
        ('{"image": "abc"}', "no base64"),
        ('{"image": "\\u00e4"}', "no base64"),
        ('{"image": "data:image/png,abcd"}', "not in base64"),
        ('{"image": "data:image/png;base64"}', "not in base64"),
    ],
)
def test_json_without_an_image(body, words):
    assert words in refused(body.encode(), "application/json")


def test_bodies_of_other_kinds():
    for kind in ("text/html", "video/mp4", "<script>", "application/xml"):
        assert kind in refused(IMAGE, kind, status=415)


@pytest.mark.parametrize("value", [b"0,", b"[],", b"{},", b'"",'])
def test_json_of_too_many_values_is_not_even_parsed(value):
    """Parsed, it would take 80 MB, or not be JSON, as it lacks its last bracket."""
    body = b'{"image":"AAAA","a":[' + value * 10**6
    assert "expected one" in refused(body, "application/json", 413)
    assert "expected one" in refused(body, "", 413)


def test_as_many_values_as_may_be():
    body = b'{"image":"AAAA","a":[' + b"0," * (MOST_VALUES - 3) + b"0]}"
    assert uploaded_image(body, "") == bytes(3)
    assert refused(body.replace(b"0]", b"0,0]"), "", 413)
