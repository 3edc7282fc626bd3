# A module of Erlang's binding, whose threads hand each ending to a process: compiles it, calls its test(), prints what that gives.
sed 's#"../include/cl.hrl"#"cl/include/cl.hrl"#; s#^-include("cl/#-include_lib("cl/#' "$1" >"${1##*/}"
cp "${1%/*}"/*.cl . 2>/dev/null
module=$(basename "$1" .erl)
erlc +nowarn_export_all "$module.erl" >/dev/null && erl -noshell -pa . -eval "io:format(\"~p~n\", [catch $module:test()]), halt()."
