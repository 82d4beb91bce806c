/* The language of chat templates, feature by feature: each row is a template and what Jinja2 3.1.6
 * makes of it, as transformers sets it up; NULL where it refuses. All rows share one context. */
#include "test.h"

#include "text/chat_template.h"

typedef struct Row {
    const char *source, *output;
} Row;

static const char context_text[] =
    "{\"s\": \"Hello World\", \"u\": \"\\u00dc\\u00f1\\u00ed \\u00df \\u0130 \\u0391\\u03a3 \\uf"
     "b01\", \"sp\": \"  a b\\tc \", \"n\": -3, \"i\": 7, \"f\": 2.5, \"l\": [3, 1, 2], \"ls\": ["
     "\"b\", \"A\", \"c\", \"a\"], \"d\": {\"b\": 1, \"a\": 2, \"C\": 3}, \"nd\": {\"x\": {\"y\":"
     " [1, {\"z\": \"deep\"}]}, \"items\": 5, \"none\": null}, \"ms\": [{\"role\": \"user\", \"co"
     "ntent\": \"Hi\", \"n\": 2}, {\"role\": \"assistant\", \"content\": \"yo <b>\", \"n\": 1, \""
     "x\": true}, {\"role\": \"User\", \"content\": null, \"n\": 3}], \"q\": \"it's \\\"q\\\" \\"
     "\\ \\n\\t\\u0001\\u00e9\", \"html\": \"<p>x &amp; y</p>  &lt;<!-- c --> z\"}";

static void check_row(const Row *row, json_t *context)
{
    ChatTemplate *t = NULL;
    Buf out;
    Error err;
    struct tm now = {.tm_year = 126, .tm_mday = 2, .tm_hour = 3, .tm_min = 4, .tm_sec = 5};
    buf_init(&out, 1 << 16);
    Err result = chat_template_new(&t, span_text(row->source), "t", &err);
    if (result == OK)
        result = chat_template_render(t, context, &now, &out, &err);
    bool right = row->output ? result == OK && !strcmp(out.data, row->output) : result != OK;
    if (!right) {
        print_error("%s\n  gives   %s\n  not     %s\n", row->source,
                    result == OK ? out.data : err.text, row->output ? row->output : "an error");
        assert_true(!"as printed above");
    }
    chat_template_free(t);
    buf_deinit(&out);
}

static void check_rows(const Row *rows, size_t count)
{
    json_t *context = json_loads(context_text, 0, NULL);
    assert_non_null(context);
    for (size_t i = 0; i < count; i++)
        check_row(&rows[i], context);
    json_decref(context);
}

static void white_space_goes_as_trim_blocks_and_lstrip_blocks_say(void **state)
{
    (void)state;
    static const Row rows[] = {
        {"a\n{% if true %}\n  b\n{% endif %}\nc\n",
         "a\n  b\nc"},
        {"a\n  {% if true %}  \n  b{% endif %}\n\n",
         "a\n  \n  b"},
        {"  {%+ if true %}x{% endif +%}\ny",
         "  x\ny"},
        {"a  {{- ' b ' -}}  c\n {{ 'd' }}\n\ne",
         "a b c\n d\n\ne"},
        {"a {#- c -#} b {# d #}\n  {# e #}\n f\n",
         "ab  f"},
        {" {% raw %} {{ x }} {% endraw %}\n {%- raw -%} {% y %} {%- endraw -%} \n z",
         " {{ x }} {% y %}z"},
        {"x {%- set a = 1 -%} y\n\n\n{{ a }}\n",
         "xy\n\n\n1"},
        {"{% if true -%}\n   x   \n{%- endif %} y",
         "x y"},
        {"a\r\nb\rc\n",
         "a\nb\nc"},
        {"{{ \"a\" }}\n{{ \"b\" }}\n",
         "a\nb"},
        {"{%- for x in l -%} \n {{ x }} \n {%- endfor -%}",
         "312"},
        {"{% set x %}  \n a {% endset %}[{{ x }}]",
         "[  \n a ]"},
    };
    check_rows(rows, COUNT_OF(rows));
}

static void literals_and_operators_mean_what_they_mean_in_python(void **state)
{
    (void)state;
    static const Row rows[] = {
        {"{{ 1 }} {{ 1.0 }} {{ 1e3 }} {{ 1e16 }} {{ 1e-5 }} {{ 0x1f }} {{ 0b11 }} {{ 0o17 }} {{ 1"
         "_000 }} {{ 0.1 + 0.2 }}",
         "1 1.0 1000.0 1e+16 1e-05 31 3 15 1000 0.30000000000000004"},
        {"{{ \"a\" 'b' \"c\" }}{{ 'a\\x41\\u00e9\\n\\t\\'\\q\\101' }}",
         "abcaA\xc3\xa9\n\t'\\qA"},
        {"{{ [1, 'a', none, true, 2.5, (1,), (), {}] }} {{ {'a': 1, 2: [3]} }} {{ 1, 2 }}",
         "[1, 'a', None, True, 2.5, (1,), (), {}] {'a': 1, 2: [3]} (1, 2)"},
        {"{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % -3 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ 2 ** "
         "-1 }} {{ -2 ** 2 }} {{ 2 ** 3 ** 2 }} {{ 7.5 // 2 }} {{ -7.5 % 2 }}",
         "3 -4 -2 2 3.5 1024 0.5 4 64 3.0 0.5"},
        {"{{ 1 + 2 * 3 - 4 / 2 }} {{ (1 + 2) * 3 }} {{ 'a' + 'b' * 3 }} {{ [1] + [2] * 2 }} {{ (1"
         ",) + (2,) }} {{ true + 1 }}",
         "5.0 9 abbb [1, 2, 2] (1, 2) 2"},
        {"{{ 1 ~ 'a' ~ none ~ 2.0 ~ [1] }} {{ 'a' ~ 1 ~ 2 * 3 }}",
         "1aNone2.0[1] a16"},
        {"{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 == true }} {{ 'a' < 'b' }} {{ [1, 2] < [1, "
         "3] }} {{ 1 != 2 }}",
         "True False True True True True"},
        {"{{ 1 in l }} {{ 9 not in l }} {{ 'ell' in s }} {{ 'a' in d }} {{ 2 in {1: 2} }} {{ '' i"
         "n '' }}",
         "True True True True False True"},
        {"{{ not 1 }} {{ not not [] }} {{ 1 and 0 or 'x' }} {{ '' or none }} {{ not 1 == 2 }}",
         "False False x None True"},
        {"{{ 'y' if l else 'n' }}{{ 'y' if none }}{{ 1 if false else 2 if false else 3 }}",
         "y3"},
        {"{{ s[0] }}{{ s[-1] }}{{ s[1:4] }}{{ s[::-1] }}{{ s[:-6] }}{{ s[8:] }}{{ l[::-2] }}{{ l["
         "5:] }}{{ (1, 2, 3)[1:] }}{{ range(10)[2:8:3]|list }}{{ u[1:5] }}",
         "HdelldlroW olleHHellorld[2, 3][](2, 3)[2, 5]\xc3\xb1\xc3\xad \xc3\x9f"},
        {"{{ -f }} {{ +n }} {{ --i }} {{ -3|abs }} {{ (-3)|abs }}",
         "-2.5 -3 7 3 3"},
        {"{{ 1e400 }} {{ -1e400 }} {{ 1e22 }} {{ 123456789012345678 }} {{ 1.5e300 * 10 }}",
         "inf -inf 1e+22 123456789012345678 1.5e+301"},
        {"{{ 'a' + 1 }}", NULL},
        {"{{ 1 / 0 }}", NULL},
        {"{{ 'a' < 1 }}", NULL},
        {"{{ 1 in 'abc' }}", NULL},
        {"{{ {[]: 1} }}", NULL},
        {"{{ none + 1 }}", NULL},
    };
    check_rows(rows, COUNT_OF(rows));
}

static void attributes_and_items_are_found_as_the_sandbox_finds_them(void **state)
{
    (void)state;
    static const Row rows[] = {
        {"{{ d.a }}{{ d['b'] }}{{ nd.x.y[1].z }}{{ nd['x']['y'][0] }}{{ l.0 }}{{ l[-1] }}",
         "21deep132"},
        {"{{ nd.items is callable }}{{ nd['items'] }}{{ d['zz'] is defined }}{{ d.zz }}{{ d.zz|de"
         "fault('D') }}",
         "True5FalseD"},
        {"{{ d.keys()|list }}{{ d.values()|list }}{{ d.items()|list }}{{ d.get('zz') }}{{ d.get('"
         "zz', 1) }}{{ d.keys() }}",
         "['b', 'a', 'C'][1, 2, 3][('b', 1), ('a', 2), ('C', 3)]None1dict_keys(['b', 'a', 'C'])"},
        {"{{ nothing is undefined }}{{ nothing }}[{{ nothing|length }}]{{ nothing == other }}{{ n"
         "ot nothing }}{% for x in nothing %}{% endfor %}",
         "True[0]TrueTrue"},
        {"{{ l.append is defined }}{{ l.append }}|{{ d.update }}",
         "False|"},
        {"{{ s.upper.x }}|{{ s.__class__ }}",
         "|"},
        {"{{ 'x'.real is defined }}{{ 1 .real }}{{ l['count'](1) }}",
         "False11"},
        {"{{ l.append(1) }}", NULL},
        {"{{ d.pop('a') }}", NULL},
        {"{{ nothing.x }}", NULL},
        {"{{ d.zz.y }}", NULL},
        {"{{ nothing + 1 }}", NULL},
        {"{{ nothing() }}", NULL},
        {"{{ s.nomethod() }}", NULL},
    };
    check_rows(rows, COUNT_OF(rows));
}

static void loops_keep_their_place_and_their_names(void **state)
{
    (void)state;
    static const Row rows[] = {
        {"{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }"
         "}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ x }};{% endfor %}",
         "1032TrueFalse33;2121FalseFalse31;3210FalseTrue32;"},
        {"{% for x in ls %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }}{{ loop.cycle('p', 'q')"
         " }}{{ loop.changed(x == 'A') }} {% endfor %}",
         "<b>ApTrue b<A>cqTrue A<c>apTrue c<a>qFalse "},
        {"{% for k, v in d.items() %}{{ k }}={{ v }},{% endfor %}{% for a, (b, c) in [(1, (2, 3))"
         "] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
         "b=1,a=2,C=3,123"},
        {"{% for x in l if x > 1 %}{{ loop.index }}/{{ loop.length }}:{{ x }} {% else %}none{% en"
         "dfor %}",
         "1/2:3 2/2:2 "},
        {"{% for x in [] %}{% else %}empty{% endfor %}{% for x in l if x > 9 %}{% else %}none{% e"
         "ndfor %}",
         "emptynone"},
        {"{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}{% for x in "
         "l %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endfor %}",
         "323"},
        {"{% for x in l %}{% break %}{% else %}else runs{% endfor %}",
         "else runs"},
        {"{% for x in [1, [2, [3]]] recursive %}{% if x is iterable %}({{ loop(x) }}){{ loop.dept"
         "h }}{% else %}{{ x }}{{ loop.depth0 }}{% endif %}{% endfor %}",
         "10(21(32)2)1"},
        {"{% set x = 0 %}{% for i in l %}{% set x = x + i %}{{ x }} {% endfor %}{{ x }}",
         "3 1 2 0"},
        {"{% set ns = namespace(x=0, y=[]) %}{% for i in l %}{% set ns.x = ns.x + i %}{% endfor %"
         "}{{ ns.x }} {{ ns }}",
         "6 <Namespace {'x': 6, 'y': []}>"},
        {"{% for i in l %}{{ y }}{% endfor %}{% set y = 1 %}{{ y }}",
         "1"},
        {"{% set i = 5 %}{% for i in l %}{% endfor %}{{ i }}{% for i in [1] %}{% if false %}{% se"
         "t s = 2 %}{% endif %}{{ s }}{% endfor %}",
         "5Hello World"},
        {"{% for i in [1] %}{% set s = 'in' %}{{ s }}{% endfor %}{{ s }}{% for n in [s] %}{{ n }}"
         "{% endfor %}{{ n }}",
         "inHello WorldHello World-3"},
        {"{% for c in 'h\xc3\xa9y' %}{{ c }}.{% endfor %}{% for k in d %}{{ k }}{% endfor %}{% fo"
         "r r in range(3) %}{{ r }}{% endfor %}",
         "h.\xc3\xa9.y.baC012"},
        {"{% for x in l|map('string') %}{{ loop.last }}{% endfor %}{% set g = l|map('string') %}{"
         "{ g|join }}{{ g|join }}{{ 1 if g }}",
         "FalseFalseTrue3121"},
        {"{% for a, b in [[1, 2, 3]] %}{% endfor %}", NULL},
        {"{% for x in 5 %}{% endfor %}", NULL},
        {"{% set d.x = 1 %}", NULL},
        {"{% for loop in l %}{% endfor %}", NULL},
        {"{% break %}", NULL},
    };
    check_rows(rows, COUNT_OF(rows));
}

static void macros_take_arguments_as_python_functions_do(void **state)
{
    (void)state;
    static const Row rows[] = {
        {"{% macro m(a, b=2, c=a) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }} {{ m(1, c=3) }}"
         " {{ m(b=5, a=4) }} {{ m() }}",
         "121 123 454 2"},
        {"{% macro m(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, x=4) }}{{ m"
         ".name }}{{ m.arguments }}{{ m }}",
         "1(2, 3){'x': 4}m('a',)<Macro 'm'>"},
        {"{% macro m(a) %}[{{ caller(a, 2) }}]{% endmacro %}{% call(x, y=0) m(1) %}{{ x }}{{ y }}"
         "{% endcall %}",
         "[12]"},
        {"{% macro m() %}{% if caller is defined %}{{ caller() }}{% else %}no{% endif %}{% endmac"
         "ro %}{{ m() }}{% call m() %}yes{% endcall %}",
         "noyes"},
        {"{% set x = 1 %}{% macro m() %}{{ x }}{% endmacro %}{% set x = 2 %}{{ m() }}{% for x in "
         "[3] %}{{ m() }}{% endfor %}",
         "22"},
        {"{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}",
         "3210"},
        {"{% macro m(a, b) %}{{ b is defined }}{{ b }}{% endmacro %}{{ m(1) }}{{ m(*[1, 2]) }}{{ "
         "m(**{'a': 1, 'b': 3}) }}",
         "FalseTrue2True3"},
        {"{% macro m(*a) %}{% endmacro %}", NULL},
        {"{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}", NULL},
        {"{% macro m(a) %}{% endmacro %}{{ m(z=2) }}", NULL},
        {"{% macro m(a) %}{% endmacro %}{{ m(1, a=2) }}", NULL},
        {"{% macro m(a=1, b) %}{% endmacro %}", NULL},
    };
    check_rows(rows, COUNT_OF(rows));
}

static void blocks_bind_and_capture(void **state)
{
    (void)state;
    static const Row rows[] = {
        {"{% set a, b = 1, [2] %}{{ a }}{{ b }}{% set t = (1,) %}{{ t }}{% set x %}<{{ a }}>{% en"
         "dset %}{{ x }}{% set y | upper | trim %} q {% endset %}{{ y }}",
         "1[2](1,)<1>Q"},
        {"{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a }}{% set a = 5 %}{% with a = 1, "
         "b = a %}{{ b }}{% endwith %}",
         "125"},
        {"{% filter upper | replace('A', 'b') %}aa{{ s }}{% endfilter %}",
         "bbHELLO WORLD"},
        {"{% if false %}{% elif n < 0 %}neg{% else %}pos{% endif %}{% if nothing %}{% elif false "
         "%}{% else %}e{% endif %}",
         "nege"},
        {"{% generation %}said {{ s }}{% endgeneration %}{% block b %}in {{ s }}{% endblock b %}",
         "said Hello Worldin Hello World"},
        {"{% print s, 1 %}{% set c = cycler(1, 2) %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ "
         "c.current }}{% set j = joiner('|') %}{{ j() }}a{{ j() }}b",
         "Hello World11212a|b"},
        {"{% if s is undefined %}{{ s|nofilter }}{% endif %}ok{{ 'x' if false and (s is notest) }"
         "}",
         "ok"},
        {"{{ strftime_now('%Y-%m-%d %H:%M:%S %a %A %b %B %j %p %I %y %e %-d %% %Z|') }}",
         "2026-01-02 03:04:05 Fri Friday Jan January 002 AM 03 26  2 2 % |"},
        {"{{ dict(a=1, b=2) }}{{ dict([('x', 1)], y=2) }}{{ namespace(a=1).a }}{{ range(5, 0, -2)"
         "|list }}{{ range(3) }}",
         "{'a': 1, 'b': 2}{'x': 1, 'y': 2}1[5, 3, 1]range(0, 3)"},
        {"{% if true %}{{ s|nofilter }}{% endif %}", NULL},
        {"{% filter length %}abc{% endfilter %}", NULL},
        {"{% if true %}", NULL},
        {"{% endfor %}", NULL},
        {"{% nothing %}", NULL},
        {"{{ [1 }}", NULL},
        {"{{ 'a", NULL},
        {"{# a", NULL},
    };
    check_rows(rows, COUNT_OF(rows));
}

static void strings_have_pythons_methods(void **state)
{
    (void)state;
    static const Row rows[] = {
        {"{{ s.split() }}{{ s.split('o') }}{{ s.split('o', 1) }}{{ sp.split(none, 1) }}{{ s.rspli"
         "t('o', 1) }}{{ sp.rsplit(maxsplit=1) }}{{ 'a,,b'.split(',') }}",
         "['Hello', 'World']['Hell', ' W', 'rld']['Hell', ' World']['a', 'b\\tc ']['Hello W', 'rl"
         "d']['  a b', 'c']['a', '', 'b']"},
        {"{{ sp.strip() }}|{{ sp.lstrip() }}|{{ sp.rstrip() }}|{{ s.strip('Hd') }}|{{ s.lstrip('H"
         "el') }}",
         "a b\tc|a b\tc |  a b\tc|ello Worl|o World"},
        {"{{ s.startswith('He') }}{{ s.startswith(('x', 'H')) }}{{ s.endswith('ld') }}{{ s.starts"
         "with('l', 2) }}{{ s.endswith('o', 0, 5) }}",
         "TrueTrueTrueTrueTrue"},
        {"{{ s.upper() }}{{ s.lower() }}{{ s.title() }}{{ s.swapcase() }}{{ 'hELLO wORLD'.capital"
         "ize() }}{{ \"they're\".title() }}",
         "HELLO WORLDhello worldHello WorldhELLO wORLDHello worldThey'Re"},
        {"{{ u.upper() }}|{{ u.lower() }}|{{ u.title() }}|{{ u.swapcase() }}|{{ '\xc5\x89 \xc7"
         "\x86'.title() }}|{{ '\xce\x91\xce\xa3 \xce\xa3\xce\x91.\xce\xa3'.lower() }}|{{ '\xc3"
         "\x9f'.casefold() }}",
         "\xc3\x9c\xc3\x91\xc3\x8d SS \xc4\xb0 \xce\x91\xce\xa3 FI|\xc3\xbc\xc3\xb1\xc3\xad \xc3"
         "\x9f i\xcc\x87 \xce\xb1\xcf\x82 \xef\xac\x81|\xc3\x9c\xc3\xb1\xc3\xad Ss \xc4\xb0 \xce"
         "\x91\xcf\x82 Fi|\xc3\xbc\xc3\x91\xc3\x8d SS i\xcc\x87 \xce\xb1\xcf\x82 FI|\xca\xbcN "
         "\xc7\x85|\xce\xb1\xcf\x82 \xcf\x83\xce\xb1.\xcf\x82|ss"},
        {"{{ s.find('o') }}{{ s.find('o', 5) }}{{ s.rfind('o') }}{{ s.find('zz') }}{{ s.index('W'"
         ") }}{{ s.count('l') }}{{ ''.count('') }}{{ u.find('\xc3\x9f') }}",
         "477-16314"},
        {"{{ s.replace('l', 'L') }}{{ s.replace('l', 'L', 1) }}{{ 'ab'.replace('', '-') }}{{ 'aaa"
         "'.replace('aa', 'b') }}",
         "HeLLo WorLdHeLlo World-a-b-ba"},
        {"{{ '-'.join(ls) }}{{ ', '.join(['a']) }}{{ ''.join([]) }}",
         "b-A-c-aa"},
        {"{{ s.partition(' ') }}{{ s.rpartition('o') }}{{ s.partition('zz') }}{{ 'a\\nb\\r\\nc'.s"
         "plitlines() }}{{ 'a\\nb\\n'.splitlines(true) }}",
         "('Hello', ' ', 'World')('Hello W', 'o', 'rld')('Hello World', '', '')['a', 'b', 'c']['a"
         "\\n', 'b\\n']"},
        {"{{ '12'.isdigit() }}{{ '\xc2\xb2'.isdigit() }}{{ '\xc2\xbd'.isnumeric() }}{{ 'a\xc3\xa9"
         "'.isalpha() }}{{ 'a1'.isalnum() }}{{ ' \\t'.isspace() }}{{ 'A1'.isupper() }}{{ 'a1'.isl"
         "ower() }}{{ 'Ab Cd'.istitle() }}{{ ''.isdigit() }}",
         "TrueTrueTrueTrueTrueTrueTrueTrueTrueFalse"},
        {"{{ '42'.zfill(5) }}{{ '-42'.zfill(5) }}{{ 'ab'.center(7, '*') }}{{ 'ab'.center(5) }}|{{"
         " 'ab'.ljust(5, '.') }}{{ 'ab'.rjust(5) }}{{ 'a\\tb'.expandtabs(4) }}",
         "00042-0042***ab**  ab |ab...   aba   b"},
        {"{{ s.removeprefix('He') }}{{ s.removesuffix('ld') }}{{ s.removeprefix('x') }}",
         "llo WorldHello WorHello World"},
        {"{{ '{} {}'.format(1, 'a') }}{{ '{0}{1}{0}'.format('a', 'b') }}{{ '{x[0]} {y.a}'.format("
         "x=l, y=d) }}{{ '{{}}'.format() }}",
         "1 aaba3 2{}"},
        {"{{ '{:>5}|{:<5}|{:^5}|{:*^7}|{:05d}|{:+d}|{:,}|{:x}|{:#b}|{:.2f}|{:e}|{:%}|{:.3}|{!r:>5"
         "}'.format(1, 'a', 2.5, 'm', 42, 3, 1234567, 255, 5, f, f, 0.25, s, 'q') }}",
         "    1|a    | 2.5 |***m***|00042|+3|1,234,567|ff|0b101|2.50|2.500000e+00|25.000000%|Hel|"
         "  'q'"},
        {"{{ '%s %d %5.1f|%-5s|%05d|%x|%r|%%|%c|%e' % (s, i, f, 'a', 42, 255, 'q', 'z', f) }}{{ '"
         "%(a)s' % {'a': 1} }}{{ '%s' % l }}",
         "Hello World 7   2.5|a    |00042|ff|'q'|%|z|2.500000e+001[3, 1, 2]"},
        {"{{ '{} {1}'.format(1) }}", NULL},
        {"{{ '%d' % 'a' }}", NULL},
        {"{{ '%s %s' % ('a',) }}", NULL},
        {"{{ s.index('zz') }}", NULL},
        {"{{ s.split('') }}", NULL},
    };
    check_rows(rows, COUNT_OF(rows));
}

static void filters_of_sequences_give_what_jinja2_gives(void **state)
{
    (void)state;
    static const Row rows[] = {
        {"{{ ls|sort }}{{ ls|sort(true) }}{{ ls|sort(case_sensitive=true) }}{{ ms|sort(attribute="
         "'role,n')|map(attribute='n')|list }}{{ d|dictsort }}{{ d|dictsort(true, 'value', revers"
         "e=true) }}",
         "['A', 'a', 'b', 'c']['c', 'b', 'A', 'a']['A', 'a', 'b', 'c'][1, 2, 3][('a', 2), ('b', 1"
         "), ('C', 3)][('C', 3), ('a', 2), ('b', 1)]"},
        {"{{ ms|groupby('role')|map('first')|list }}{% for g in ms|groupby('role', case_sensitive"
         "=true) %}{{ g.grouper }}{{ g.list|length }}{% endfor %}",
         "['assistant', 'user']User1assistant1user1"},
        {"{{ ms|selectattr('x')|map(attribute='role')|list }}{{ ms|rejectattr('role', 'equalto', "
         "'user')|map(attribute='n')|list }}{{ ms|selectattr('n', 'gt', 1)|list|length }}{{ ms|ma"
         "p(attribute='x', default='-')|join(',') }}",
         "['assistant'][1, 3]2-,True,-"},
        {"{{ l|select('odd')|list }}{{ l|reject('in', [1])|list }}{{ [0, 1, '']|select|list }}{{ "
         "ls|map('upper')|join }}{{ [[1, 2]]|map('last')|list }}",
         "[3, 1][3, 2][1]BACA[2]"},
        {"{{ l|first }}{{ l|last }}{{ []|first }}{{ s|first }}{{ l|min }}{{ l|max }}{{ ls|max }}{"
         "{ l|sum }}{{ ms|sum(attribute='n') }}{{ [1, 2]|sum(start=10) }}",
         "32H13c6613"},
        {"{{ range(5)|batch(2)|list }}{{ range(5)|batch(2, 'x')|list }}{{ range(5)|slice(2)|list "
         "}}{{ range(5)|slice(3, 'f')|list }}",
         "[[0, 1], [2, 3], [4]][[0, 1], [2, 3], [4, 'x']][[0, 1, 2], [3, 4]][[0, 1], [2, 3], [4, "
         "'f']]"},
        {"{{ ['a', 'A', 'b']|unique|list }}{{ ['a', 'A']|unique(true)|list }}{{ l|reverse|list }}"
         "{{ s|reverse }}{{ s|list }}{{ d|items|list }}",
         "['a', 'b']['a', 'A'][2, 1, 3]dlroW olleH['H', 'e', 'l', 'l', 'o', ' ', 'W', 'o', 'r', '"
         "l', 'd'][('b', 1), ('a', 2), ('C', 3)]"},
        {"{{ l|join(', ') }}{{ ms|join('|', 'role') }}{{ l|length }}{{ s|count }}{{ none|string }"
         "}{{ 1|string ~ 2 }}",
         "3, 1, 2user|assistant|User311None12"},
    };
    check_rows(rows, COUNT_OF(rows));
}

static void filters_of_values_give_what_jinja2_gives(void **state)
{
    (void)state;
    static const Row rows[] = {
        {"{{ '42'|int }}{{ 'x'|int(7) }}{{ '0x1f'|int(0, 16) }}{{ '3.7'|int }}{{ 3.9|int }}{{ ' 1"
         "_0 '|int }}{{ true|int }}{{ none|int }}{{ '1e3'|float }}{{ 'x'|float }}{{ '1.5'|float(2"
         ") }}",
         "427313310101000.00.01.5"},
        {"{{ 42.55|round }}{{ 42.55|round(1) }}{{ 2.675|round(2) }}{{ 42.55|round(1, 'floor') }}{"
         "{ 42.51|round(0, 'ceil') }}{{ 1250|round(-2) }}{{ 0.5|round }}{{ 7|round(1) }}",
         "43.042.52.6742.543.012000.07"},
        {"{{ s|upper }}{{ s|lower }}{{ 'hello-wORLD (foo) [bar'|title }}{{ s|capitalize }}{{ '  x"
         " '|trim }}{{ 'xax'|trim('x') }}{{ s|center(15) }}|{{ s|wordcount }}",
         "HELLO WORLDhello worldHello-World (Foo) [BarHello worldxa  Hello World  |2"},
        {"{{ 'a\\nb\\n\\nc'|indent }}|{{ 'a\\nb'|indent(2, true) }}|{{ 'a\\n\\nb'|indent('> ', bl"
         "ank=true) }}",
         "a\n    b\n\n    c|  a\n  b|a\n> \n> b"},
        {"{{ s|truncate(5) }}{{ s|truncate(8, true) }}{{ 'foo bar baz qux'|truncate(9) }}{{ 'foo "
         "bar baz qux'|truncate(11, false, '..', 0) }}{{ s|replace('o', '0') }}{{ s|replace('o', "
         "'0', 1) }}",
         "He...Hello Worldfoo...foo bar..Hell0 W0rldHell0 World"},
        {"{{ 'the quick brown-fox jumps'|wordwrap(9) }}|{{ 'abcdefgh ij'|wordwrap(3, wrapstring='"
         "/') }}|{{ 'abcdefgh ij'|wordwrap(3, false) }}",
         "the quick\nbrown-fox\njumps|abc/def/gh/ij|abcdefgh\nij"},
        {"{{ html|striptags }}|{{ '<a & \"b\">'|e }}|{{ ('<'|e) + '<' }}|{{ '<'|safe|e }}|{{ [('<"
         "'|e)] }}|{{ 'a b/c?\xc3\xa9'|urlencode }}|{{ {'a b': 1}|urlencode }}|{{ {'a': '<', 'b':"
         " none}|xmlattr }}",
         "x & y < z|&lt;a &amp; &#34;b&#34;&gt;|&lt;&lt;|<|[Markup('&lt;')]|a%20b/c%3F%C3%A9|a+b="
         "1| a=\"&lt;\""},
        {"{{ nothing|default('x') }}{{ ''|default('x') }}{{ ''|d('x', true) }}{{ none|default('x'"
         ") }}{{ 1000000|filesizeformat }}{{ 1024|filesizeformat(true) }}{{ '%s-%s'|format(1, 2) "
         "}}{{ d|attr('a') }}|{{ s|attr('upper')() }}",
         "xxNone1.0 MB1.0 KiB1-2|HELLO WORLD"},
        {"{{ d|tojson }}{{ q|tojson }}{{ [1.0, none, true, '\xc3\xa9']|tojson }}{{ '\xc3\xa9'|toj"
         "son(ensure_ascii=true) }}{{ {'b': {'x': []}, 'a': [1, {}]}|tojson(indent=2) }}{{ d|tojs"
         "on(sort_keys=true) }}{{ d|tojson(separators=(',', ':')) }}{{ {1: 2, none: 3, true: 4}|t"
         "ojson }}{{ l|tojson(indent=none) }}",
         "{\"b\": 1, \"a\": 2, \"C\": 3}\"it's \\\"q\\\" \\\\ \\n\\t\\u0001\xc3\xa9\"[1.0, null, "
         "true, \"\xc3\xa9\"]\"\\u00e9\"{\n  \"b\": {\n    \"x\": []\n  },\n  \"a\": [\n    1,\n "
         "   {}\n  ]\n}{\"C\": 3, \"a\": 2, \"b\": 1}{\"b\":1,\"a\":2,\"C\":3}{\"1\": 4, \"null\""
         ": 3}[3, 1, 2]"},
        {"{{ q }}|{{ [q] }}|{{ [\"it's\", 'a\"b', \"both'\\\"\"] }}|{{ ['\\u200b', '\\x7f', '\xc3"
         "\xa9', '\xf0\x9f\x98\x80'] }}",
         "it's \"q\" \\ \n\t\001\xc3\xa9|['it\\'s \"q\" \\\\ \\n\\t\\x01\xc3\xa9']|[\"it's\", 'a"
         "\"b', 'both\\'\"']|['\\u200b', '\\x7f', '\xc3\xa9', '\xf0\x9f\x98\x80']"},
        {"{{ nothing|tojson }}", NULL},
        {"{{ 'a'|abs }}", NULL},
        {"{{ l|join(1, 2, 3) }}", NULL},
        {"{{ l|nofilter }}", NULL},
        {"{{ l|map|list }}", NULL},
        {"{{ [1, 'a']|sort }}", NULL},
        {"{{ l|batch }}", NULL},
    };
    check_rows(rows, COUNT_OF(rows));
}

static void tests_tell_kinds_apart(void **state)
{
    (void)state;
    static const Row rows[] = {
        {"{{ 1 is number }}{{ 1.5 is float }}{{ true is number }}{{ true is integer }}{{ true is "
         "boolean }}{{ 1 is integer }}{{ 'a' is string }}{{ none is none }}{{ d is mapping }}{{ l"
         " is mapping }}",
         "TrueTrueTrueFalseTrueTrueTrueTrueTrueFalse"},
        {"{{ l is sequence }}{{ s is sequence }}{{ 5 is sequence }}{{ d is sequence }}{{ l is ite"
         "rable }}{{ s is iterable }}{{ 5 is iterable }}{{ l|map('abs') is sequence }}{{ range is"
         " callable }}{{ s is callable }}",
         "TrueTrueFalseTrueTrueTrueFalseFalseTrueFalse"},
        {"{{ 3 is odd }}{{ 4 is even }}{{ 6 is divisibleby 3 }}{{ 6 is divisibleby(4) }}{{ 1 is e"
         "q 1 }}{{ 1 is ne(2) }}{{ 1 is lt 2 }}{{ 2 is ge 2 }}{{ 'a' is in 'abc' }}{{ 5 is not in"
         " l }}{{ 1 is sameas 1 }}{{ 1 is sameas true }}",
         "TrueTrueTrueFalseTrueTrueTrueTrueTrueTrueTrueFalse"},
        {"{{ 'ab' is lower }}{{ 'AB' is upper }}{{ true is true }}{{ 1 is true }}{{ false is fals"
         "e }}{{ s is defined }}{{ zz is undefined }}{{ zz is not defined }}{{ 'upper' is filter "
         "}}{{ 'zz' is filter }}{{ 'odd' is test }}{{ ('a'|e) is escaped }}",
         "TrueTrueTrueFalseTrueTrueTrueTrueTrueFalseTrueTrue"},
        {"{{ not s is none }}{{ s is not none and 1 is odd }}",
         "TrueTrue"},
        {"{{ 3 is odd is odd }}", NULL},
        {"{{ 'a' is odd }}", NULL},
        {"{{ s is notest }}", NULL},
    };
    check_rows(rows, COUNT_OF(rows));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(white_space_goes_as_trim_blocks_and_lstrip_blocks_say),
        cmocka_unit_test(literals_and_operators_mean_what_they_mean_in_python),
        cmocka_unit_test(attributes_and_items_are_found_as_the_sandbox_finds_them),
        cmocka_unit_test(loops_keep_their_place_and_their_names),
        cmocka_unit_test(macros_take_arguments_as_python_functions_do),
        cmocka_unit_test(blocks_bind_and_capture),
        cmocka_unit_test(strings_have_pythons_methods),
        cmocka_unit_test(filters_of_sequences_give_what_jinja2_gives),
        cmocka_unit_test(filters_of_values_give_what_jinja2_gives),
        cmocka_unit_test(tests_tell_kinds_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
