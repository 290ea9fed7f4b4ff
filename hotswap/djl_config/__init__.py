"""What DJL Serving is told in its folders and variables, as this server's settings.

properties_file             serving.properties, in Java's format
variables                   OPTION_..., SERVING_... and other variables, as its keys
rules                       what may become of a key
key_values                  a key's text -> the value of a setting
keys_that_act               those that set something here
keys_without_effect         those that do not: warned about, or the end of the start
key_table                   one table of all of them
addresses                   where it listens
model_store                 where a start without MODEL finds the model's folder
model_folder                its model, adapters, handler and name
translation                 all of it together
"""
