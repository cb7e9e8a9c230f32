"""YAML sections know their lines, take scalars as written, and refuse everything that is not plain data."""

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genai_metrics import yamlfile
from genai_metrics.yamlfile import read
from genai_metrics.yamlvalues import Section, YamlError


def section(tmp_path: Path, text: str) -> Section:
    """The section that this text is read into."""
    path = tmp_path / "f.yml"
    path.write_text(text)
    return read(path)


class TestReading:
    """Files become sections."""

    def test_an_empty_file_is_an_empty_section(self, tmp_path: Path) -> None:
        """Nothing, or comments only."""
        assert section(tmp_path, "").keys() == ()
        assert section(tmp_path, "# nothing yet\n").keys() == ()

    def test_sections_know_key_and_line(self, tmp_path: Path) -> None:
        """Dotted path and first line, counted from 1."""
        top = section(tmp_path, "a:\n  b:\n  - x: 1\n  - x: 2\n")
        second = top.section("a").sections("b")[1]
        assert (second.key, second.line) == ("a.b[1]", 4)
        assert str(second.error("wrong", "x")) == f"{tmp_path / 'f.yml'}:4: wrong"

    def test_anchors_and_merge_keys(self, tmp_path: Path) -> None:
        """An own key wins over a merged one, the first merged mapping over later ones."""
        top = section(tmp_path, "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc:\n  <<: [*a, *b]\n  x: 3\nd: {<<: *a}\n")
        merged = top.section("c")
        assert [merged.number(key) for key in ("x", "y", "z")] == [3.0, 1.0, 2.0]
        assert top.section("d").number("y") == 1.0

    def test_aliases_of_aliases_do_not_blow_up(self, tmp_path: Path) -> None:
        """Ten levels of ten aliases are ten nodes, not ten thousand million."""
        lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 11)]
        assert len(section(tmp_path, "\n".join(lines)).keys()) == 11

    @pytest.mark.parametrize(
        ("text", "line", "says"),
        [
            ("a: [", 1, "not valid YAML"),
            ("a: 1\n\tb: 2", 2, "not valid YAML"),
            ("x: 1\na: 1\na: 2", 3, "'a' is given twice (first on line 2)"),
            ("- 1", 1, "must be a mapping"),
            ("text", 1, "must be a mapping (key: value lines), not 'text'"),
            ("x: 1\na: !!python/object/apply:os.system [id]", 2, "the tag"),
            ("a: !secret x", 1, "the tag '!secret' is not read; write the value without a tag"),
            ("a: !!set {x}", 1, "the tag"),
            ("a: &r [*r]", 1, "nested too deeply"),
            ("a: " + "[" * 60 + "]" * 60, 1, "nested too deeply"),
            ("a: 1\n---\nb: 2", 2, "not valid YAML"),
            ("a: 1\n? [1]\n: 2", 2, "a key must be plain text"),
            ("a: 1\n<<: 2", 2, "'<<' takes a mapping, not '2'"),
            ("a: 1\nb: \x07", 2, "not text"),
            ("a: 1\nb: *c", 2, "put quotes around a text that begins with *, such as '*/llama-*'"),
            ("a: 1\nb: { c: 1\nd: 2\n", 3, "expected ',' or '}', but got ':' in what begins on line 2"),
            ("a: 1\nb: @c", 2, "put quotes around a text that begins with @"),
        ],
    )
    def test_what_is_refused(self, tmp_path: Path, text: str, line: int, says: str) -> None:
        """The error begins with file and line."""
        with pytest.raises(YamlError) as caught:
            section(tmp_path, text)
        assert str(caught.value).startswith(f"{tmp_path / 'f.yml'}:{line}: ")
        assert says in str(caught.value)

    def test_thousands_of_brackets_are_an_error_not_a_crash(self, tmp_path: Path) -> None:
        """PyYAML recurses."""
        with pytest.raises(YamlError, match="nested too deeply"):
            section(tmp_path, "a: " + "[" * 50_000)

    def test_bytes_that_are_not_utf8(self, tmp_path: Path) -> None:
        """Line and remedy."""
        path = tmp_path / "f.yml"
        path.write_bytes(b"a: 1\nb: \xff\xfe\n")
        with pytest.raises(YamlError, match=r"f\.yml:2: not text: .*; save the file as UTF-8"):
            read(path)

    def test_a_directory(self, tmp_path: Path) -> None:
        """What cannot be opened is told as such."""
        with pytest.raises(YamlError, match=r"cannot be read: Is a directory; check the path"):
            read(tmp_path)

    def test_a_huge_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Read no further than the limit."""
        monkeypatch.setattr(yamlfile, "MAX_BYTES", 10)
        with pytest.raises(YamlError, match="larger than"):
            section(tmp_path, "abcdefgh: 1")

    def test_without_pyyaml(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The remedy is a command."""
        monkeypatch.setitem(sys.modules, "yaml", None)
        with pytest.raises(YamlError, match=r"PyYAML is needed .* run: pip install pyyaml"):
            section(tmp_path, "a: 1")

    @settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.one_of(st.binary(max_size=60), st.text(alphabet="ab:-[]{}&*!<>?|'\"# \n\t", max_size=40)))
    def test_any_bytes_give_a_section_or_an_error_that_names_the_file(self, tmp_path: Path, data: bytes | str) -> None:
        """Never another exception."""
        path = tmp_path / "f.yml"
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        try:
            named = str(read(path).path)
        except YamlError as error:
            named = str(error)
        assert named.startswith(str(path))


class TestValues:
    """Getters give what was written, or an error that names the key."""

    @pytest.fixture
    def values(self, tmp_path: Path) -> Section:
        """One of each kind."""
        return section(
            tmp_path,
            "n: 1e-6\ni: 0042\nneg: -3\nt: 4.10\nq: '5'\nyes: yes\nlist: [a, 1.0, 'b c']\nmap: {k: v}\n"
            "maps: [{k: 1}, {k: 2}]\nnone:\nempty: ''\ntime: 12:30:45\naddress: 127.0.0.1:9464\n",
        )

    def test_values_as_written(self, values: Section) -> None:
        """The reader chooses the type, not YAML."""
        assert values.number("n") == 1e-6
        assert values.integer("i") == 42
        assert values.number("neg", minimum=-3) == -3.0
        assert values.text("t") == "4.10"
        assert values.text("q") == "5"
        assert values.text("yes") == "yes"
        assert values.boolean("yes") is True
        assert values.text("time") == "12:30:45"
        assert values.text("address") == "127.0.0.1:9464"
        assert values.texts("list") == ("a", "1.0", "b c")
        assert values.section("map").text("k") == "v"
        assert [item.integer("k") for item in values.sections("maps")] == [1, 2]

    @pytest.mark.parametrize("digits", [400, 5_000])
    def test_whole_numbers_beyond_every_float(self, tmp_path: Path, digits: int) -> None:
        """Neither an overflow nor Python's limit on digits gets out."""
        with pytest.raises(YamlError, match=r"f\.yml:1: i must be a whole number, not '999"):
            section(tmp_path, "i: " + "9" * digits).integer("i")

    def test_absent_and_null_take_the_default(self, values: Section) -> None:
        """A key without a value is as good as none."""
        for key in ("none", "nowhere"):
            assert not values.has(key)
            assert values.number(key, None) is None
            assert values.integer(key, 7) == 7
            assert values.text(key, "x") == "x"
            assert values.boolean(key, False) is False
            assert values.texts(key) == ()
            assert values.sections(key) == ()
            assert values.section(key).keys() == ()

    def test_a_missing_key_in_an_absent_section_is_placed(self, values: Section) -> None:
        """The error names the section although it is not in the file."""
        with pytest.raises(YamlError, match=r"f\.yml:1: missing key 'k'; add it to nowhere"):
            values.section("nowhere").text("k")

    @pytest.mark.parametrize(
        ("call", "says"),
        [
            (lambda s: s.number("nowhere"), "f.yml:1: missing key 'nowhere'; add it to the file"),
            (lambda s: s.number("t", maximum=4), "f.yml:4: t must be at most 4, not 4.1"),
            (lambda s: s.integer("neg", minimum=0), "f.yml:3: neg must be at least 0, not -3"),
            (lambda s: s.integer("t"), "f.yml:4: t must be a whole number, not '4.10'"),
            (lambda s: s.number("q"), "f.yml:5: q must be a number, not the text '5'; write it without quotes"),
            (lambda s: s.number("list"), "f.yml:7: list must be a number, not a list"),
            (lambda s: s.boolean("n"), "f.yml:1: n must be true or false, not '1e-6'"),
            (lambda s: s.text("map"), "f.yml:8: map must be text, not a mapping"),
            (lambda s: s.text("empty"), "f.yml:11: empty must be text, not nothing"),
            (lambda s: s.texts("t"), "f.yml:4: t must be a list ('- ' lines), not '4.10'"),
            (lambda s: s.texts("maps"), "f.yml:9: maps[0] must be text, not a mapping"),
            (lambda s: s.sections("list"), "f.yml:7: list[0] must be a mapping, not 'a'"),
            (lambda s: s.section("t"), "f.yml:4: t must be a mapping (key: value lines), not '4.10'"),
            (lambda s: s.section("map").number("k"), "f.yml:8: map.k must be a number, not 'v'"),
        ],
    )
    def test_what_is_wrong_and_where(self, values: Section, call: object, says: str) -> None:
        """File, line, dotted key, what is wanted and what is there."""
        assert callable(call)
        with pytest.raises(YamlError) as caught:
            call(values)
        assert says in str(caught.value)

    def test_unknown_keys(self, values: Section) -> None:
        """The nearest known one is offered; where none is near, all are."""
        with pytest.raises(YamlError, match=r"f\.yml:8: unknown key 'k' in map; known: other, thing"):
            values.section("map").check_keys(("thing", "other"))
        with pytest.raises(YamlError, match="unknown key 'address'; did you mean 'addresses'"):
            values.check_keys(("addresses", *(set(values.keys()) - {"address"})))
        values.check_keys(values.keys())
