"""All accounts, for admins."""

from __future__ import annotations

import falcon

from catalogd.names import check_name, check_new_name
from catalogd.people import People
from catalogd.web import representations
from catalogd.web.bodies import FLAG, TEXT, TEXT_OR_NULL, read_members
from catalogd.web.replies import caller, send, send_list
from catalogd.web.requests import Request

_NEW = {"name": TEXT, "email": TEXT_OR_NULL, "is_admin": FLAG, "password": TEXT_OR_NULL, "take_over": FLAG}
_CHANGES = {"email": TEXT_OR_NULL, "is_admin": FLAG, "is_active": FLAG, "password": TEXT_OR_NULL}


class Users:
    """The handlers of writes return whether anything was changed."""

    def __init__(self, people: People, public_url: str, max_body: int):
        self._people = people
        self._public_url = public_url
        self._max_body = max_body

    def list(self, req: Request, resp: falcon.Response) -> None:
        users = self._people.users(req.account)
        send_list(req, resp, [representations.user(info) for info in users], self._public_url)

    def create(self, req: Request, resp: falcon.Response) -> bool:
        members = read_members(req, self._max_body, _NEW, required=("name",))
        check_new_name(members["name"], "/name")
        info = self._people.add_user(req.account, members.pop("name"), **members)
        resp.set_header("location", f"/v1/users/{info.name}")
        send(resp, representations.user(info), None, status=201)
        return True

    def detail(self, req: Request, resp: falcon.Response, user: str) -> None:
        send(resp, representations.user(self._people.user(req.account, user)), None)

    def update(self, req: Request, resp: falcon.Response, user: str) -> bool:
        changes = read_members(req, self._max_body, _CHANGES)
        send(resp, representations.user(self._people.change_user(req.account, user, changes)), None)
        return bool(changes)

    def delete(self, req: Request, resp: falcon.Response, user: str) -> bool:
        self._people.remove_user(caller(req), check_name(user, "user"))
        resp.status = 204
        return True
