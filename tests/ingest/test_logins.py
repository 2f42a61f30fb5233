import pytest

from anomalies.ingest.logins import is_login


@pytest.mark.parametrize(
    "action",
    [
        "ssh.login",
        "ConsoleLogin",
        "UserLoggedIn",
        "UserLoginFailed",
        "MailboxLogin",
        "authentication.logon",
        "login",
        "Login",
        "user.login",
        "user:login",
        "auth.login",
        "user_login",
        "log in",
        "signin",
        "sign_in",
        "sign-in",
        "Sign In",
        "auth/signon",
    ],
)
def test_proving_who_one_is_is_a_login(action: str) -> None:
    assert is_login(action)


@pytest.mark.parametrize(
    "action",
    [
        "",
        "read",
        "logout",
        "logoff",
        "user.logout",
        "authentication.logoff",
        "authentication.preauth",
        "login.page.view",
        "loginUrl",
        "design.in",
        "blog in",
        "catalogin",
        "plugin",
        "oauth.authorize",
        "token.refresh",
        "mfa.verify",
        "password.reset",
        "AssumeRole",
        "SwitchRole",
        "GetSigninToken",
        "access_request.created",
    ],
)
def test_all_else_is_none(action: str) -> None:
    assert not is_login(action)
