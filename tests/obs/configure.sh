#!/bin/sh
# Writes an OBS 29 home: first-run wizard answered, a profile, a service, a scene with a moving clip and its sound.
#   configure.sh DIR SERVER KEY KEYINT_SECONDS BITRATE_KBPS
set -eu
dir=$1 server=$2 key=$3 keyint=$4 bitrate=$5
base=$dir/home/.config/obs-studio
profile=$base/basic/profiles/sluice
mkdir -p "$profile" "$base/basic/scenes" "$dir/recording"

clip=$dir/clip.mkv
# Each second begins with three white pictures and 100 ms of a tone, so that sound can be compared with picture.
[ -s "$clip" ] || ffmpeg -v error -y \
    -f lavfi -i "testsrc2=s=1280x720:r=30:d=10,drawbox=t=fill:c=white:enable='lt(mod(n,30),3)'" \
    -f lavfi -i "aevalsrc='0.4*sin(2*PI*1000*t)*lt(mod(t,1),0.1)':s=48000:d=10" -ac 2 \
    -c:v libx264 -preset ultrafast -crf 28 -g 30 -c:a pcm_s16le "$clip"

cat >"$base/global.ini" <<INI
[General]
FirstRun=true
LastVersion=486539266
InfoIncrement=100
EnableAutoUpdates=false
ConfirmOnExit=false
Pre19Defaults=false
Pre21Defaults=false
Pre23Defaults=false
Pre24.1Defaults=false
MaxLogs=3
ProcessPriority=Normal

[Basic]
Profile=sluice
ProfileDir=sluice
SceneCollection=sluice
SceneCollectionFile=sluice

[BasicWindow]
SysTrayEnabled=true
SysTrayWhenStarted=true
WarnBeforeStartingStream=false
WarnBeforeStoppingStream=false
PreviewEnabled=false
INI

cat >"$profile/basic.ini" <<INI
[General]
Name=sluice

[Output]
Mode=Advanced
Reconnect=true
RetryDelay=2
MaxRetries=25

[AdvOut]
Encoder=obs_x264
TrackIndex=1
ApplyServiceSettings=true
RecType=Standard
RecEncoder=none
RecFormat=mkv
RecFilePath=$dir/recording

[Video]
BaseCX=1280
BaseCY=720
OutputCX=1280
OutputCY=720
FPSType=0
FPSCommon=30

[Audio]
SampleRate=48000
ChannelSetup=Stereo
INI

cat >"$profile/service.json" <<JSON
{"type":"rtmp_custom","settings":{"server":"$server","key":"$key","use_auth":false,"bwtest":false}}
JSON

cat >"$profile/streamEncoder.json" <<JSON
{"rate_control":"CBR","bitrate":$bitrate,"keyint_sec":$keyint,"preset":"ultrafast","profile":"","tune":"","x264opts":""}
JSON

cat >"$base/basic/scenes/sluice.json" <<JSON
{
  "name": "sluice",
  "current_scene": "sluice",
  "current_program_scene": "sluice",
  "scene_order": [{"name": "sluice"}],
  "transitions": [], "groups": [], "quick_transitions": [], "modules": {}, "saved_projectors": [],
  "current_transition": "Cut", "transition_duration": 300, "preview_locked": false,
  "sources": [
    {
      "id": "ffmpeg_source", "versioned_id": "ffmpeg_source", "name": "clip", "enabled": true, "flags": 0,
      "mixers": 255, "volume": 1.0, "muted": false, "sync": 0, "monitoring_type": 0,
      "settings": {"local_file": "$clip", "is_local_file": true, "looping": true, "restart_on_activate": false,
                   "close_when_inactive": false, "hw_decode": false}
    },
    {
      "id": "scene", "versioned_id": "scene", "name": "sluice", "enabled": true,
      "settings": {
        "custom_size": false, "id_counter": 1,
        "items": [{
          "id": 1, "name": "clip", "visible": true, "locked": false, "align": 5, "rot": 0.0,
          "pos": {"x": 0.0, "y": 0.0}, "scale": {"x": 1.0, "y": 1.0},
          "bounds": {"x": 0.0, "y": 0.0}, "bounds_type": 0, "bounds_align": 0,
          "crop_left": 0, "crop_top": 0, "crop_right": 0, "crop_bottom": 0
        }]
      }
    }
  ]
}
JSON
