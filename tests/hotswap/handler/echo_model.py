"""A handler in the form of DJL's test model `adaptecho`, written anew.

It answers with the body; with a registered adapter in front its name and what it was
registered with as `echooption`. `error` and `oom` among the options raise.
"""

from djl_python import Input, Output  # type: ignore[import-not-found]

registered: dict[str, Input] = {}


def register_adapter(inputs: Input) -> Output:
    return _noted(inputs, "registered")


def update_adapter(inputs: Input) -> Output:
    if inputs.get_property("name") not in registered:
        raise ValueError("it is not registered")
    return _noted(inputs, "updated")


def unregister_adapter(inputs: Input) -> Output:
    name = inputs.get_property("name")
    del registered[name]
    return Output(message=f"Adapter {name} unregistered")


def handle(inputs: Input) -> Output | None:
    if inputs.is_empty():
        return None
    outputs = Output()
    for index, each in enumerate(inputs.get_batches()):
        text = each.get_as_string()
        if each.contains_key("adapter"):
            name = each.get_as_string("adapter")
            known = registered.get(name)
            option = ""
            if known is not None and known.contains_key("echooption"):
                option = known.get_as_string("echooption")
            text = f"{'' if known else 'dyn'}{name}{option}{text}"
        outputs.add(text, key="data", batch_index=index)
    return outputs


def _noted(inputs: Input, change: str) -> Output:
    name = inputs.get_property("name")
    if inputs.contains_key("error"):
        raise ValueError(f"{name} is not {change}")
    if inputs.contains_key("oom"):
        raise MemoryError
    registered[name] = inputs
    return Output(message=f"Adapter {name} {change}")
