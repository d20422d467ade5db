"""Words that end texts, and words beside them that say the opposite. Pure, in English and Spanish.

US rule (47 CFR 64.1200(a)(10)): "stop", "quit", "end", "revoke", "opt out", "cancel" and "unsubscribe" always count,
and so does whatever a reasonable person would take for it. So doubt opts out. But who writes "don't stop texting me"
has taken nothing back: a person reads that. Clauses come as :mod:`waitlist.understanding` makes them: lower case,
without accents and punctuation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# fmt: off
#: Texts that are nothing else, politeness apart; carriers act on most of them before we do.
STOP_WORDS = frozenset(
    [
        "stop", "stopall", "stop all", "quit", "end", "revoke", "optout", "opt out", "cancel", "unsubscribe", "remove",
        "no more", "enough", "alto", "parar", "pare", "paren", "parele", "parenle", "basta", "ya basta", "cancelar",
        "cancele", "cancelen", "cancela", "baja", "no mas", "no quiero mas", "desuscribir", "detener", "salir",
        "terminar", "eliminar", "remover",
        # As thumbs write it.
        "stpo", "sotp", "tsop", "stp", "dtop", "atop", "stiop", "sstop", "stopp", "stoppp", "s t o p", "unsubcribe",
        "unsuscribe", "unsubsribe", "atlo", "bsata", "desuscribirme", "cancelr",
    ]
)
# fmt: on
_TEXTS = r"(texts?|texting|messages?|messaging|msgs?|sms)"
_TEXTOS = r"(mensajes?|mensajitos?|textos?|sms|msjs?)"
#: What follows in the same breath, up to the next word that could end texts.
_REST = r"( (?!stop\b|unsubscribe\b|alto\b|basta\b|dont\b|do\b|never\b)[a-z0-9]+)*"
_ENDING = (
    r"(stop|stopping|quit|end|cancel|unsubscribe|opt (me )?out|(remove|delete|drop) (me|my|us)|take (me|us|my \w+) off"
    r"|(stop|remove|drop|end) (it|them|these|this))"
)
_TERMINAR = (
    r"(paren?|pares|deje de|dejen de|dejes de|detengan?|cancelen?|canceles|quiten?|quites|borren?|saquen?|eliminen?"
    r"|(den?|dar) de baja)"
)
#: What is set aside before opt-outs are looked for: it takes nothing back, asks, or speaks of another stop.
_NO_STOP = re.compile(
    # "Don't stop", "I don't want you to stop"; but "why don't you stop" and "you don't stop texting me" opt out.
    r"(?<!\byou )(?<!\bu )(?<!\bthey )(?<!\bthese )(?<!\btexts )(?<!\bmessages )(?<!\bwhy )"
    r"\b(dont|do not|never|not|no need to|doesnt|didnt|did not)( ever| even| please| pls| you| u| to"
    r"| (want|wanna|need|like|mean|intend|plan|wish|ask|asked)"
    r"( (you|u|it|them|(this|these|those|the|your|my)( \w+)?))? to)*"
    rf" {_ENDING}\b{_REST}"
    rf"|\b(hope|sure|wish|want|that|so) (you|u|they) (dont|do not|never) {_ENDING}\b{_REST}"
    # "I never said stop", "I didn't mean to text STOP".
    r"|\b(didnt|did not|never|dont|do not|not)( mean| meant| want)?( to)?"
    rf" (say|said|saying|mean|meant|text|texted|type|typed|send|sent|write|wrote|reply|replied|ask|asked)( the word)?"
    rf"( for)? {_ENDING}\b{_REST}"
    rf"|\b(no|nunca|jamas)( por favor)?( (quiero|queremos|quisiera|deseo|pido|necesito|dije|digo))?( que)?( ya)?"
    rf"( (me|nos|se|lo|la|los|las))? {_TERMINAR}\b{_REST}"
    r"|\b(no|nunca) (quiero|queremos|quisiera|deseo|dije|digo|escribi|mande|puse|quise|quise decir)"
    r" (dejar de|parar|cancelar|terminar|darme de baja|salir(me)?|que (me )?\w+ de baja|stop|alto|basta|baja)\b"
    rf"{_REST}"
    # "Why did you stop texting me?", "did you take me off the list?", "you never text me".
    rf"|\b(why (did|have|has|would)|did|have|has) (you|u|they|i) (ever |just |already )?{_ENDING}\b{_REST}"
    r"|\b(why|if|when|you|u|they|he|she|we|doctor|office|nobody|one) (dont|do not|never|didnt)( (ever|you|u|they))*"
    r" (text|message|contact|write|send)\b(?!( me)? (again|any ?more))"
    # "What happens if I say stop?", "does STOP cancel my visit?"
    r"|\b(if|when i|unless|whether|does|si)( (i|you|we|yo|say|reply|answer|text|send|type|write|put|do|use|will|with"
    rf"|digo|mando|escribo|respondo|contesto|pongo))*"
    rf" (stop|alto|baja|unsubscribe|opt out|remove me|take me off)\b{_REST}"
    r"|\b(remove|take) me (off|from)\b(?= [a-z ]*\bif\b)"
    r"|\b(should|must|do|can|could) i (have to |need to )?stop\b"
    rf"(?! (this|it|these|your|getting|receiving|(the |your )?{_TEXTS}))"
    # What does not stop, or is to be stopped, is no text: "the bleeding won't stop".
    r"|(?<!\byou )(?<!\bu )(?<!\bthey )(?<!\btexts )(?<!\bmessages )\b(cant|cannot|can not|wont|will not) stop\b"
    r"|\b(doesnt|does not|(?<!make )it|(?<!make )this|bus|train|metro|next|last|my"
    r"|your|which|a|the|how to|trying to|going to|where to|when to) stop\b"
    r"|\bstop(?= (by|in|at|over|for|the (pain|bus)|(the |my |his |her )?(bleeding|seizures?|shaking|crying)))\b"
    r"|\b(dont|do not) send (an? |the )?(ambulance|police|help|any(one|body))\b"
)
_STOP_PHRASES = re.compile(
    rf"\b(stop|stopp|quit) ([a-z]+ ){{0,3}}({_TEXTS}|contacting|writing|sending|bothering|spamming|harassing)\b"
    r"|\bstop (getting|receiving|recieving)\b|\bmake (it|this|these|them|the \w+) stop\b"
    r"|\bhow (do|can) (i|you|we) (stop|end) (this|these|it|them|those)\b"
    r"|\b(you|u|yall|these|they|texts|messages) (really |just )?(need to|have to|must|should|gotta|better) stop\b"
    r"|\b(want|need|like|told|tell|asked|ask|telling) (you|u|yall|them|this|these|it|the \w+)( all| guys)? to stop\b"
    r"|\b(you|u|they|texts|messages) (dont|do not|never|wont|cant|cannot) stop\b|\b(want|like|wish) to stop$"
    r"|\b(dont|do not|never) (ever )?((call|e ?mail|bother) (me )?(or )?)?(text|message|contact|write|send)\b"
    r"|\bno more ([a-z]+ )?(text|texts|message|messages|sms)\b"
    r"|\b(leave me alone|unsubscribe|opt (me )?out|lose my number|(revoke|withdraw) (my )?(consent|permission))\b"
    r"|\b(take|remove|delete|get) (me|my number|my name|this number) (off|from)\b|^remove (me|my number)\b"
    # STOP and a name, a code or a word more: whoever shares the number, it binds the number.
    r"|^(please |pls |no |thanks |thank you |gracias |por favor )*(stop|stopall|unsubscribe|alto|basta)"
    r"( (?!by\b|in\b|at\b|over\b)[a-z0-9]+){0,3}$"
    r"|\b(dont|do not|no longer) (want|need)( to (get|receive|hear))?( any| more| these| those| your| such| from| you)*"
    r" (text|texts|message|messages|sms|(hear )?from (you|u))\b"
    r"|\bnot interested in( any| more| these| those| your| the)* (texts|messages|texting)\b"
    rf"|^(please )?(end|cancel|quit|cease) ([a-z]+ ){{0,2}}{_TEXTS}( please)?$"
    r"|^please remove (me|my number)\b|\bquit it$"
    r"|\b(no|ni) (me |nos )?(manden?|mandes|envien?|envies|escriban?|escribas|molesten?"
    r"|molestes|texteen?|textees|contacten?|contactes)\b"
    r"|\b(deje|dejen|deja|dejar|pare|paren|para|paran) de (mandar|enviar|escribir|molestar|textear|recibir)"
    r"|\b(deje|dejen|deja)(me|nos) en paz\b|\bme dejen? en paz\b|^para ya$"
    rf"|\bno( mandar)? mas {_TEXTOS}\b"
    rf"|\bno (quiero|deseo|necesito|me interesan?)( mas| recibir| sus| estos)* {_TEXTOS}\b"
    rf"|^(quiero |quisiera )?(cancelar|detener|terminar|parar) (los |estos |sus |la |mi )?({_TEXTOS}|suscripcion)\b"
    r"|^(por favor )?(quiero |quisiera )?(dar|darme|dame|deme|denme|dese|me doy) de baja( [a-z]+){0,3}$"
    r"|\b(quite|quiten|borre|borren|saque|saquen|elimine|eliminen)(me\b| mi (numero|nombre|telefono)\b)"
)
#: Words that end texts wherever they stand by themselves, or at the end of what was said.
_PLAIN_STOP = re.compile(r"^(stpo|sotp|alto|basta)$|\b(stop|stopall|unsubscribe)$")
_LIST = re.compile(r"\b((wait|waiting) ?list|(the|your|this|that) list|lista( de espera)?)\b")
#: Said beside a command, it changes nothing.
BESIDE = re.compile(r"\b(please|pls|plz|thanks|thank you|thx|ty|por favor|gracias)\b")


def asks_to_stop(clauses: Sequence[str]) -> bool:
    """Return whether one of the clauses is an opt-out, whatever the others say; "Do. Not. Text. Me." is one clause."""
    if all(" " not in clause for clause in clauses):
        clauses = [*clauses, " ".join(clauses)]
    return any(_is_opt_out(clause) for clause in clauses)


def _is_opt_out(clause: str) -> bool:
    bare = " ".join(BESIDE.sub(" ", _NO_STOP.sub(" ", clause)).split())
    return bool(_PLAIN_STOP.search(bare) or _STOP_PHRASES.search(bare))


def speaks_of_the_list(plain: str) -> bool:
    """Return whether an opt-out names the list: then they may not want to wait any more either."""
    return _LIST.search(plain) is not None
