"""Which actions are logins: somebody proves who they are, or fails to."""

import re

# Names of one source each: AWS CloudTrail and Microsoft 365. Others of theirs end as the rule below says.
LISTED = frozenset({"consolelogin", "userloggedin", "userloginfailed", "mailboxlogin"})

# The last word of the name: login, user.login, auth:sign_in. Not what merely begins so, such as login.page or loginUrl.
_LOGIN = re.compile(r"(?:.*[^a-z0-9])?(?:log|sign)[-_ ]?(?:in|on)")


def is_login(action: str) -> bool:
    """Return whether events of this action are logins, successful or not; case does not matter.

    True for `login`, `logon`, `signin` and `signon`, also spelt sign_in or sign-in, as the last word after any mark
    that is no letter or digit (`ssh.login`, `authentication.logon`), and for the names that sources have of their own.

    Not a login: logging out, changing factors or passwords, switching roles, refreshing a token, and `oauth.authorize`,
    by which somebody who is logged in already lets an application act for them.
    """
    name = action.strip().lower()
    return name in LISTED or _LOGIN.fullmatch(name) is not None
