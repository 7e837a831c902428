# SPDX-License-Identifier: Apache-2.0
"""Makes a picture smaller. ?size=N bounds the longer side (default 128)."""

import base64
import io

from PIL import Image

SIZE_MAX = 1024


def handle(event, context):
    query = event.get("queryStringParameters") or {}
    size = min(int(query.get("size", 128)), SIZE_MAX)
    picture = Image.open(io.BytesIO(base64.b64decode(event["body"])))
    kind = picture.format
    before = picture.size
    picture.thumbnail((size, size))

    out = io.BytesIO()
    picture.save(out, kind)
    after = picture.size
    print(f"{kind} {before[0]}x{before[1]} -> {after[0]}x{after[1]}, {out.tell()} bytes")
    return {
        "statusCode": 200,
        "headers": {"Content-Type": Image.MIME[kind]},
        "body": base64.b64encode(out.getvalue()).decode(),
        "isBase64Encoded": True,
    }
