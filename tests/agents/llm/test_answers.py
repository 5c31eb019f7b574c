import pytest

from gedanken.agents.llm import program_of


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("```python\nimport a\n```", "import a\n"),
        ("First\n```python\nimport a\n```\nBetter:\n```py\nimport b\n```\nDone.", "import b\n"),
        ("```python\nimport a\n```\n```\nits output\n```", "import a\n"),
        ("```\nimport a\n```\n", "import a\n"),
        ("```bash\npip install x\n```", ""),
        ("```python\r\nimport a\r\nx = 1\r\n```\r\n", "import a\nx = 1\n"),
        ("```python\nimport a\nx = '```'\n```\n", "import a\nx = '```'\n"),
        ("```python\nimport a\n", "import a\n"),
        ("```python\n\n```", ""),
        ("import a\nprint(a)", "import a\nprint(a)\n"),
        ("<think>\n```python\nimport wrong\n```\n</think>\n```python\nimport a\n```", "import a\n"),
        ("<think>I could import a", ""),
        ("Hello", ""),
        ("I am sorry, I cannot do that.", ""),
        ("", ""),
    ],
)
def test_the_program_is_taken_out(text: str, program: str) -> None:
    assert program_of(text) == program
