//! MQTT client ids: the three documented forms, held against who the process really is (seed 000).
