"""The calls of git clients."""

from __future__ import annotations

from catalogd import rights
from catalogd.web.operation import Body, Operation, Reply
from catalogd.web.parameters import SERVICE
from catalogd.web.routes.shared import GIT

_CATALOG, _PROPOSALS, _PUBLIC = "/catalog.git", "/proposals.git", "/public.git"
_BINARY = {"type": "string", "contentMediaType": "application/octet-stream"}


def _asks(service: str) -> Body:
    return Body("GitRequest", {}, (f"application/x-{service}-request",))


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "GET",
        f"{_CATALOG}/info/refs",
        "getGitRefs",
        rights.CLONE,
        "git.refs",
        GIT,
        "Begin to clone, fetch or push the whole catalog",
        "For `git clone https://USER:TOKEN@HOST/catalog.git`. All that is private is in it. Errors are plain text. To "
        "push needs what `git-receive-pack` needs.",
        (
            Reply(
                200,
                "What git may ask.",
                {
                    f"application/x-{service}-advertisement": _BINARY
                    for service in ("git-upload-pack", "git-receive-pack")
                },
            ),
        ),
        (400, 401, 403, 503, 507),
        parameters=(SERVICE,),
    ),
    Operation(
        "POST",
        f"{_CATALOG}/git-upload-pack",
        "gitUploadPack",
        rights.CLONE,
        "git.upload_pack",
        GIT,
        "Clone or fetch the whole catalog",
        "Protocols 0 to 2, shallow and partial clones. Where too many clone at once, some get 503.",
        (Reply(200, "What git has asked for.", {"application/x-git-upload-pack-result": _BINARY}),),
        (400, 401, 403, 413, 415, 503, 507),
        body=_asks("git-upload-pack"),
    ),
    Operation(
        "POST",
        f"{_CATALOG}/git-receive-pack",
        "gitReceivePack",
        rights.PUSH,
        "git.receive_pack",
        GIT,
        "Push to main, or propose",
        "For `git push origin main`: commits on top of main become main as they are, if all that they change could be "
        "changed by the other calls. For `git push origin HEAD:refs/for/main`: they become a proposal, or the next "
        "revision of one. A push that is refused is told so in its own output, with status 200.",
        (Reply(200, "What became of the push.", {"application/x-git-receive-pack-result": _BINARY}),),
        (400, 401, 403, 413, 415, 503, 507),
        writes=True,
        body=_asks("git-receive-pack"),
    ),
    Operation(
        "GET",
        f"{_PROPOSALS}/info/refs",
        "getProposalGitRefs",
        rights.CLONE,
        "git.proposal_refs",
        GIT,
        "Begin to clone or fetch proposals",
        "For `git fetch https://USER:TOKEN@HOST/proposals.git refs/proposals/7/head`, the head of proposal 7; a clone "
        "has all that was ever proposed, and all that was said of it. 404 before the first one.",
        (Reply(200, "What git may ask.", {"application/x-git-upload-pack-advertisement": _BINARY}),),
        (400, 401, 403, 404, 503, 507),
        parameters=(SERVICE,),
    ),
    Operation(
        "POST",
        f"{_PROPOSALS}/git-upload-pack",
        "proposalGitUploadPack",
        rights.CLONE,
        "git.upload_proposals",
        GIT,
        "Clone or fetch proposals",
        "As with the whole catalog.",
        (Reply(200, "What git has asked for.", {"application/x-git-upload-pack-result": _BINARY}),),
        (400, 401, 403, 404, 413, 415, 503, 507),
        body=_asks("git-upload-pack"),
    ),
    Operation(
        "GET",
        f"{_PUBLIC}/info/refs",
        "getPublicGitRefs",
        rights.OPEN,
        "git.public_refs",
        GIT,
        "Begin to clone or fetch what is public",
        "For `git clone https://HOST/public.git`. Public documents, organizations without their members, and the "
        "schemas; in commits of its own.",
        (Reply(200, "What git may ask.", {"application/x-git-upload-pack-advertisement": _BINARY}),),
        (400, 403, 503, 507),
        parameters=(SERVICE,),
    ),
    Operation(
        "POST",
        f"{_PUBLIC}/git-upload-pack",
        "publicGitUploadPack",
        rights.OPEN,
        "git.public_upload_pack",
        GIT,
        "Clone or fetch what is public",
        "As with the whole catalog.",
        (Reply(200, "What git has asked for.", {"application/x-git-upload-pack-result": _BINARY}),),
        (400, 413, 415, 503, 507),
        body=_asks("git-upload-pack"),
    ),
)
