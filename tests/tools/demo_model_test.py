"""The makers of the demo model's conversations: WordNet's format, sums, countries."""
# Mirrors: tools/demo_model/dictionary.py, tools/demo_model/skills.py,
# tools/demo_model/factbook.py, tools/demo_model/conversations.py
import json
import pathlib
import random
import sys
import unittest

from tree import Tree

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools/demo_model"))

import conversations
import dictionary
import factbook
import skills

LICENCE = "  1 This software and database is being provided to you\n"
NOUNS = (LICENCE +
         "00000001 03 n 02 dog 0 domestic_dog 0 001 @ 00000002 n 0000 | a canine animal; "
         "\"the dog barked all night\"\n"
         "00000002 03 n 01 canine 0 000 | any of various fissiped mammals\n")
WORDNET = {"data.noun": NOUNS, "data.verb": LICENCE, "data.adj": LICENCE, "data.adv": LICENCE,
           "cntlist.rev": "dog%1:05:00:: 1 42\n"}


def texts(rows):
    return [[m["content"] for m in row["messages"]] for row in rows]


class DictionaryTest(unittest.TestCase):
    def test_synsets_are_read_with_words_gloss_examples_and_hypernym(self):
        with Tree(WORDNET) as root:
            first = next(dictionary.read_synsets(root))
        self.assertEqual(first, ("n", ["dog", "domestic dog"], "a canine animal",
                                 ["the dog barked all night"], ["00000002"], "00000001"))

    def test_common_words_are_asked_about_in_every_way(self):
        with Tree(WORDNET) as root:
            found = texts(dictionary.dictionary(root, random.Random(1)))
        self.assertIn(["What is a dog?", "A dog is a canine animal."], found)
        self.assertIn(["Use dog in a sentence.", "The dog barked all night."], found)
        self.assertIn(["What kind of thing is a dog?", "A dog is a kind of canine."], found)
        self.assertIn(["Give me a synonym of dog.", "A synonym of dog is domestic dog."], found)


class SkillsTest(unittest.TestCase):
    def test_the_working_of_a_sum_is_right_with_and_without_carry(self):
        self.assertEqual(skills.add_by_hand(68, 57),
                         "Ones: 8 + 7 = 15, carry 1. Tens: 6 + 5 + 1 = 12. So 125.")
        self.assertEqual(skills.add_by_hand(12, 34), "Ones: 2 + 4 = 6. Tens: 1 + 3 = 4. So 46.")

    def test_every_sum_and_difference_is_right(self):
        rng = random.Random(3)
        for make in (skills.addition, skills.subtraction):
            for question, answer in texts(make(rng) for _ in range(200)):
                left, right = answer.rstrip(".").split(" = ")
                self.assertEqual(eval(left), int(right))
                self.assertIn(left, question)
                self.assertGreaterEqual(int(right), 0)

    def test_a_tool_call_names_a_tool_that_was_offered(self):
        rng = random.Random(5)
        for row in (skills.weather(["Lima"], rng), skills.lookup(["stone"], rng)):
            called = row["messages"][1]["tool_calls"][0]["function"]
            offered = [t["function"]["name"] for t in row["tools"]]
            self.assertIn(called["name"], offered)


class FactbookTest(unittest.TestCase):
    def test_facts_become_questions_and_missing_ones_do_not(self):
        peru = {"Government": {"Country name": {"conventional short form": {"text": "Peru"}},
                               "Capital": {"name": {"text": "Lima"}}},
                "People and Society": {"Population": {"text": "32 million (2022 est.)"}}}
        with Tree({"south/pe.json": json.dumps(peru)}) as root:
            found = texts(factbook.factbook(root))
        self.assertIn(["What is the capital of Peru?", "The capital of Peru is Lima."], found)
        self.assertIn(["Which country has Lima as its capital?", "Lima is the capital of Peru."],
                      found)
        self.assertIn(["What is the population of Peru?", "The population of Peru is 32 million."],
                      found)
        self.assertFalse([t for t in found if "climate" in t[0]])


class ConversationsTest(unittest.TestCase):
    def test_turns_alternate_and_the_thought_belongs_to_the_last(self):
        row = conversations.chat("a", "b", "c", "d", thought="why")
        self.assertEqual([m["role"] for m in row["messages"]],
                         ["user", "assistant", "user", "assistant"])
        self.assertNotIn("reasoning_content", row["messages"][1])
        self.assertEqual(row["messages"][3]["reasoning_content"], "why")

    def test_one_conversation_is_joined_for_ten_questions(self):
        singles = [conversations.chat(f"q{i}", f"a{i}") for i in range(40)]
        joined = list(conversations.join_conversations(singles, random.Random(1)))
        self.assertEqual(len(joined), 4)
        for row in joined:
            self.assertIn(len(row["messages"]), range(4, 17, 2))


if __name__ == "__main__":
    unittest.main()
