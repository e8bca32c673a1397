"""What is masked before it is stored, and what is not."""

from __future__ import annotations

import pytest

from neurockt.monitor.context.secrets import MASK, is_secret_name, mask_arguments, mask_text

SECRET = "hunter2-S3CR3T-correct-horse"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--token", SECRET],
        ["--hf-token", SECRET],
        ["--password", SECRET],
        ["--api-key", SECRET],
        ["-api_key", SECRET],
        ["--token", f"-{SECRET}"],
        [f"--token={SECRET}"],
        [f"--db.password={SECRET} with spaces, and = signs"],
        [f"API_KEY={SECRET}"],
        [f"KEY={SECRET}"],
        [f"AWS_SECRET_ACCESS_KEY={SECRET}"],
        [f"+wandb.api_key={SECRET}"],
        [f"dbPassword={SECRET}"],
        [f"--header=Authorization: Bearer {SECRET}"],
        ["-H", f"authorization: Basic {SECRET}"],
        ["--config", f'{{"lr": 0.1, "api_key": "{SECRET}"}}'],
        ["--config", f"{{lr: 0.1, password: {SECRET}}}"],
        ["-c", f"import os; os.environ['HF_TOKEN'] = '{SECRET}'; token = '{SECRET}'"],
        [f"postgres://user:{SECRET}@db.example/runs"],
        ["--tracking", f"https://{SECRET}@example.org/a?x=1"],
        [f"https://example.org/data?sig=1&access_token={SECRET}"],
        ["--secret-name-of-mine", SECRET],
    ],
)
def test_a_secret_never_comes_through(arguments: list[str]) -> None:
    """At any position of a command line."""
    masked = mask_arguments(["train.py", *arguments, "--lr", "0.1"])
    assert not any(SECRET in argument for argument in masked)
    assert MASK in " ".join(masked)
    assert masked[0] == "train.py"
    assert masked[-2:] == ["--lr", "0.1"]


@pytest.mark.parametrize(
    "token",
    [
        "ghp_" + "a1B2" * 9,
        "github_pat_" + "a1B2" * 9,
        "glpat-" + "a1B2c3D4e5F6g7H8i9J0",
        "hf_" + "abcdEFGH" * 4,
        "sk-proj-" + "a1B2" * 9,
        "AKIA" + "ABCD1234" * 2,
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_tokens_are_known_by_their_shape(token: str) -> None:
    """Whatever surrounds them."""
    assert mask_text(f"train.py {token} --lr 0.1") == f"train.py {MASK} --lr 0.1"


@pytest.mark.parametrize(
    "arguments",
    [
        ["python", "-u", "train.py", "--lr", "0.001", "--epochs=20"],
        ["--tokenizer", "gpt2", "--max-tokens", "512", "--num_tokens=8"],
        ["--pad-token", "<pad>", "--eos_token=</s>"],
        ["--monkey", "business", "--keys", "a,b", "author=bob"],
        ["--token-file", "/home/me/.token"],
        ["model.layers=[1,2,3]", "optimizer.name=adam"],
        ["--data", "https://example.org/data.tar?version=3"],
        ["--remote", "ssh://git@example.org/a.git"],
        ["git@example.org:a/b.git"],
        ["--use-token", "--lr", "0.1"],
        ["--note", "the token is a1b2c3d4e5f60718293a4b5c6d7e8f90"],
        ["/scratch/a1b2c3d4e5f60718293a4b5c6d7e8f90/checkpoint.pt"],
    ],
)
def test_the_rest_of_a_command_line_stays(arguments: list[str]) -> None:
    """Masking too much would make it useless."""
    assert mask_arguments(arguments) == arguments


def test_only_quoted_values_are_masked_in_code() -> None:
    """A diff keeps its expressions, also long ones that look random."""
    code = "+token = next(tokens_a1b2c3d4e5f60718293)\n"
    assert mask_text(code, code=True) == code
    code = f'+token = tokenizer.encode(text)\n+key = batch["key"]\n+api_key = "{SECRET}"\n-password: str = None\n'
    assert mask_text(code, code=True) == code.replace(SECRET, MASK)


@pytest.mark.parametrize("piece", ["a", "a-", "token ", "a=", "http://", "eyJ", '"', "key:", "Bearer ", "_"])
def test_long_text_takes_no_time(piece: str) -> None:
    """A command line of a hundred thousand characters is masked in linear time."""
    mask_text(piece * (100_000 // len(piece)))


def test_names() -> None:
    """What a secret is called."""
    assert all(map(is_secret_name, ["HFToken", "--auth", "client_secret", "key1", "ssh-key", "PASSWD", "oauth"]))
    assert not any(map(is_secret_name, ["", "lr", "pad_token", "secret_path", "keyboard", "--", "1", "tokens"]))
